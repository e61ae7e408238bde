"""One way to write a time for people and programs."""

from datetime import UTC, datetime


def moment(at: datetime) -> str:
    """UTC to the microsecond with a Z, always of the same length, so that texts sort as times do."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
