from resources.store import Store
from tests.resources.examples import fill


def test_an_equal_request_that_waits_is_given_back(store: Store) -> None:
    first = store.triggers.add("manual", False, {"backup": True})
    again = store.triggers.add("manual", False, {"backup": True})
    assert (first.created, again.created, again.id) == (True, False, first.id)


def test_what_is_wished_later_comes_to_the_request_that_waits(store: Store) -> None:
    first = store.triggers.add("manual", False, {"backup": False})
    wishing = store.triggers.add("manual", False, {"backup": True, "other": 1})
    not_wishing = store.triggers.add("manual", False, {"backup": False})
    assert (wishing.id, wishing.created, not_wishing.id, not_wishing.created) == (first.id, False, first.id, False)
    assert not_wishing.params == {"backup": True, "other": 1}


def test_a_forced_request_stands_beside_one_that_is_not_and_is_next(store: Store) -> None:
    plain = store.triggers.add("manual", False, {})
    forced = store.triggers.add("manual", True, {})
    assert forced.created
    waiting = store.triggers.next()
    assert waiting is not None
    assert (waiting.id, waiting.force) == (forced.id, True)
    assert plain.id != forced.id


def test_a_key_is_good_for_one_request_for_ever(store: Store) -> None:
    first = store.triggers.add("manual", True, {}, idempotency_key="k")
    fill(store, "a")
    store.versions.claim("run")
    again = store.triggers.add("manual", True, {"other": 1}, idempotency_key="k")
    assert (again.id, again.created, again.version) == (first.id, False, 1)
    assert store.triggers.next() is None


def test_a_claimed_request_does_not_swallow_a_new_one(store: Store) -> None:
    first = store.triggers.add("manual", True, {})
    fill(store, "a")
    store.versions.claim("run")
    second = store.triggers.add("manual", True, {})
    assert second.created
    waiting = store.triggers.next()
    assert waiting is not None
    assert waiting.id == second.id
    found = store.triggers.get(first.id)
    assert found is not None
    assert found.version == 1
    assert store.triggers.get(999) is None
