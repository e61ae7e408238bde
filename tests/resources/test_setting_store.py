import pytest
from pydantic import ValidationError
from sqlalchemy import insert

from core.live_settings import LiveSettings
from resources.store import Store, open_store
from resources.tables import settings, utc_now
from tests.resources.examples import event_types


def test_start_values_hold_until_something_is_changed(store: Store) -> None:
    assert store.settings.get() == LiveSettings()


def test_what_was_changed_is_stronger_than_new_start_values(store: Store, store_url: str) -> None:
    store.settings.change({"finetune_batch_size": 7}, "a person")
    restarted = open_store(store_url, live_defaults=LiveSettings(finetune_batch_size=99, finetune_epochs=9))
    found = restarted.settings.get()
    restarted.close()
    assert (found.finetune_batch_size, found.finetune_epochs) == (7, 9)


def test_a_change_is_an_event_with_old_and_new(store: Store) -> None:
    store.settings.change({"finetune_batch_size": 7, "finetune_epochs": 2}, "a person")
    (event,) = store.events.page()
    assert event.type == "setting_changed"
    assert event.data == {"changes": {"finetune_batch_size": [50, 7]}, "by": "a person"}


def test_a_change_to_what_it_is_already_is_no_event(store: Store) -> None:
    store.settings.change({"finetune_batch_size": 50}, "a person")
    assert store.events.page() == []


def test_the_address_of_the_webhook_is_in_no_event(store: Store) -> None:
    store.settings.change({"finetune_webhook_url": "https://hooks.example/secret"}, "a person")
    url = store.settings.get().finetune_webhook_url
    assert url is not None
    assert url.get_secret_value() == "https://hooks.example/secret"
    assert "secret" not in str(store.events.page())
    assert store.settings.change({"finetune_webhook_url": None}, "a person").finetune_webhook_url is None


@pytest.mark.parametrize("partial", [{"finetune_batch_size": 0}, {"finetune_epochs": 3, "unknown": 1}])
def test_a_change_that_is_refused_changes_nothing(store: Store, partial: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        store.settings.change({"finetune_auto_trigger": False, **partial}, "a person")
    assert store.settings.get() == LiveSettings()
    assert store.events.page() == []


def test_a_pause_keeps_its_first_reason_until_a_person_clears_it(store: Store) -> None:
    assert store.pause.get() is None
    store.pause.set("first")
    store.pause.set("second")
    assert store.pause.get() == "first"
    store.pause.clear("a person")
    store.pause.clear("a person")
    assert store.pause.get() is None
    assert event_types(store) == ["paused", "unpaused"]


def test_what_an_earlier_release_stored_and_this_one_refuses_counts_as_never_set(store: Store) -> None:
    store.settings.change({"finetune_batch_size": 7}, "a person")
    row = {"changed_at": utc_now(), "changed_by": "an earlier release"}
    bad = {"finetune_webhook_url": "ftp://hooks example", "finetune_epochs": 0}
    rows = [{"key": key, "value": value, **row} for key, value in bad.items()]
    store.database.write(lambda c: c.execute(insert(settings), rows))
    found = store.settings.get()
    assert (found.finetune_batch_size, found.finetune_epochs, found.finetune_webhook_url) == (7, 2, None)
    changed = store.settings.change({"finetune_webhook_url": "https://hooks.example/x"}, "a person")
    assert changed.finetune_webhook_url is not None
    assert store.settings.get() == changed
