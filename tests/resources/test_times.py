from datetime import UTC, datetime, timedelta, timezone

from resources.times import moment


def test_every_time_is_told_in_utc_and_in_one_length() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert moment(noon) == "2026-01-01T12:00:00.000000Z"
    assert moment(noon.astimezone(timezone(timedelta(hours=9)))) == moment(noon)
