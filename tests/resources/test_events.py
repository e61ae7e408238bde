from datetime import UTC, timedelta

import pytest
from sqlalchemy import select, update

from resources.events import MAX_DELIVERIES, WEBHOOK_TYPES
from resources.store import NotFound, Store
from resources.tables import outbox, utc_now
from tests.resources.examples import claimed, conclude, event_types


@pytest.fixture
def told(store: Store) -> Store:
    """A store with a webhook address."""
    store.settings.change({"finetune_webhook_url": "https://hooks.example/secret"}, "test")
    return store


def wait_is_over(store: Store) -> None:
    store.database.write(lambda c: c.execute(update(outbox).values(next_at=utc_now() - timedelta(seconds=1))))


def test_events_are_read_newest_first_or_from_an_id_on(store: Store) -> None:
    added = [store.events.add(type, f"message {i}", version=i, data={"i": i}) for i, type in enumerate("abab")]
    assert store.events.page() == added[::-1]
    assert store.events.page(limit=2) == [added[3], added[2]]
    assert store.events.page(after=added[0].id, limit=2) == [added[1], added[2]]
    assert store.events.page(type="b") == [added[3], added[1]]
    assert store.events.page(type="b", after=added[1].id) == [added[3]]
    assert added[0].timestamp.tzinfo is UTC


def test_only_what_the_outside_wants_to_know_is_sent(told: Store) -> None:
    told.events.add("swapped", "no news for the outside")
    sent = told.events.add("guardrail_stop", "news")
    assert [outgoing.event for outgoing in told.outbox.due()] == [sent]


def test_a_run_tells_its_start_its_end_and_its_verdict(told: Store) -> None:
    conclude(told, claimed(told, "a"))
    types = [outgoing.event.type for outgoing in told.outbox.due()]
    assert types == ["run_started", "run_completed", "promoted"]
    assert set(types) <= WEBHOOK_TYPES


def test_without_an_address_nothing_is_sent_and_nothing_old_comes_later(store: Store) -> None:
    store.events.add("promoted", "old news")
    assert store.outbox.due() == []
    store.settings.change({"finetune_webhook_url": "https://hooks.example/secret"}, "test")
    assert store.outbox.due() == []
    store.events.add("promoted", "news")
    assert [outgoing.event.message for outgoing in store.outbox.due()] == ["news"]


def test_another_address_still_gets_what_waits(told: Store) -> None:
    told.events.add("promoted", "news")
    told.settings.change({"finetune_webhook_url": "https://other.example/secret"}, "test")
    assert len(told.outbox.due()) == 1


def test_what_was_delivered_is_not_sent_again(told: Store) -> None:
    event = told.events.add("promoted", "news")
    told.outbox.delivered(event.id)
    assert told.outbox.due() == []
    assert event_types(told)[-1] == "webhook_delivered"
    with pytest.raises(NotFound):
        told.outbox.delivered(event.id)


def test_a_failed_delivery_waits_longer_each_time_and_is_dead_in_the_end(told: Store) -> None:
    event = told.events.add("promoted", "news")
    waits = []
    for attempt in range(1, MAX_DELIVERIES + 1):
        assert [(o.id, o.attempts) for o in told.outbox.due()] == [(event.id, attempt - 1)]
        before = utc_now()
        told.outbox.failed(event.id, "expected a status 2xx, found 500")
        if attempt < MAX_DELIVERIES:
            assert told.outbox.due() == []
            next_at = told.database.read(lambda c: c.execute(select(outbox.c.next_at)).scalar_one())
            waits.append((next_at - before).total_seconds())
        wait_is_over(told)
    assert [round(wait) for wait in waits] == [5, 10, 20, 40, 80, 160, 320, 640, 1280]
    assert told.outbox.due() == []
    assert event_types(told)[-1] == "webhook_dead"


def test_a_clock_that_was_set_back_delays_nothing_for_ever(told: Store) -> None:
    event = told.events.add("promoted", "news")
    told.database.write(lambda c: c.execute(update(outbox).values(next_at=utc_now() + timedelta(days=400))))
    assert [outgoing.id for outgoing in told.outbox.due()] == [event.id]


def test_the_oldest_comes_first_and_the_limit_holds(told: Store) -> None:
    events = [told.events.add("promoted", str(number)) for number in range(4)]
    assert [outgoing.id for outgoing in told.outbox.due(limit=3)] == [event.id for event in events[:3]]


def test_events_can_be_left_out_from_either_end(store: Store) -> None:
    first = store.events.add("a", "1")
    for message in "23":
        store.events.add("a", message)
    assert [event.message for event in store.events.page(offset=1, type="a")] == ["2", "1"]
    assert [event.message for event in store.events.page(after=first.id, offset=1, type="a")] == ["3"]
