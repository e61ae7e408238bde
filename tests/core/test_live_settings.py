import pytest
from pydantic import ValidationError

from core.live_settings import LiveSettings

URL = "https://hooks.example.com/secret"


def test_a_change_keeps_the_rest() -> None:
    before = LiveSettings(finetune_epochs=7)
    assert before.changed({"finetune_batch_size": 25}) == LiveSettings(finetune_epochs=7, finetune_batch_size=25)
    assert before.changed({}) == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"finetune_batch_size": 0},
        {"finetune_batch_size": 100_001},
        {"finetune_batch_size": True},
        {"finetune_batch_size": "50"},
        {"finetune_batch_size": 2.5},
        {"finetune_epochs": 0},
        {"finetune_epochs": 21},
        {"finetune_min_interval_seconds": -1},
        {"finetune_enabled": 1},
        {"finetune_enabled": None},
        {"start_from": "champ"},
        {"answer_with": "nobody"},
        {"finetune_webhook_url": "ftp://x"},
        {"finetune_webhook_url": "https://"},
        {"finetune_webhook_url": "not a url"},
        {"finetune_epoch": 3},
    ],
)
def test_a_value_out_of_range_or_unknown_is_refused_by_name(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        LiveSettings().changed(wrong)


def test_all_wrong_values_are_reported_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        LiveSettings().changed({"finetune_epochs": 0, "finetune_batch_size": 0, "colour": 1})
    assert {error["loc"][0] for error in caught.value.errors()} == {"finetune_epochs", "finetune_batch_size", "colour"}


def test_the_webhook_can_be_written_kept_and_cleared_but_not_read() -> None:
    settings = LiveSettings().changed({"finetune_webhook_url": URL})
    assert URL not in f"{settings!r} {settings} {settings.public()} {settings.model_dump_json()}"
    assert settings.public()["finetune_webhook_set"] is True
    assert settings.stored()["finetune_webhook_url"] == URL
    assert settings.changed({"finetune_epochs": 2}).stored()["finetune_webhook_url"] == URL
    assert LiveSettings(**settings.stored()) == settings
    cleared = settings.changed({"finetune_webhook_url": ""})
    assert cleared.public()["finetune_webhook_set"] is False
    assert settings.changed({"finetune_webhook_url": None}) == cleared


def test_a_bad_webhook_is_not_repeated_in_the_error() -> None:
    with pytest.raises(ValidationError) as caught:
        LiveSettings().changed({"finetune_webhook_url": "ftp://user:hunter2@x"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://a b",
        "http://a\tb/",
        "http://" + "a" * 5000,
        "http://" + "a" * 64 + ".example",
        "https://a..b/",
        "https://-a.example/",
        "https://a:99999/",
        "https://[::1/",
        "https://:80/",
        "https://hooks.example/" + "x" * 2048,
    ],
)
def test_a_webhook_address_that_nobody_could_reach_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="valid host"):
        LiveSettings().changed({"finetune_webhook_url": url})


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8123/hook", "https://[::1]:80/", "https://my_host./x?y=%20", "https://한국.example/"]
)
def test_a_webhook_address_may_be_any_real_one(url: str) -> None:
    assert LiveSettings().changed({"finetune_webhook_url": url}).public()["finetune_webhook_set"]


def test_a_whole_model_cannot_go_on_from_a_champion() -> None:
    with pytest.raises(ValidationError, match="start_from base"):
        LiveSettings(start_from="champion").changed({"finetune_method": "full"})
