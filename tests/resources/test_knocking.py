from collections.abc import Iterator
from socket import socket

import pytest

from resources import knocking
from resources.store import NotAllowed, Store
from tests.resources.examples import claimed, conclude, fill
from tests.resources.experiment_examples import design, two_versions


@pytest.fixture
def listener(store: Store) -> Iterator[socket]:
    found = knocking.listen(store.database.url)
    assert found is not None
    yield found
    found.close()


def heard(listener: socket) -> int:
    count = 0
    while True:
        try:
            count += len(listener.recv(16))
        except BlockingIOError:
            return count


def test_a_promotion_and_a_roll_back_are_heard_by_all_who_listen(store: Store, listener: socket) -> None:
    second = knocking.listen(store.database.url)
    assert second is not None
    conclude(store, claimed(store, "a"))
    assert (heard(listener), heard(second)) == (1, 1)
    store.champion.roll_back(by="a person")
    assert (heard(listener), heard(second)) == (1, 1)
    second.close()
    store.champion.roll_back(by="a person")
    assert heard(listener) == 1


def test_the_start_and_the_end_of_an_experiment_are_heard(store: Store, listener: socket) -> None:
    two_versions(store)
    heard(listener)
    running = store.experiments.add(design())
    assert heard(listener) == 1
    store.experiments.stop(running.id, "enough", "a person")
    assert heard(listener) == 1


def test_what_changes_no_champion_and_what_is_refused_is_not_heard(store: Store, listener: socket) -> None:
    fill(store, "a", "b")
    with pytest.raises(NotAllowed):
        store.champion.roll_back(by="a person")
    assert heard(listener) == 0


def test_nobody_waits_for_who_does_not_listen_or_look(store: Store, listener: socket) -> None:
    two_versions(store)
    for _ in range(2_000):
        knocking.knock(store.database.url)
    assert heard(listener) > 0


def test_places_to_listen_are_few_and_free_again_when_one_leaves(store: Store, listener: socket) -> None:
    others = [knocking.listen(store.database.url) for _ in range(knocking.MOST_LISTENERS - 1)]
    assert None not in others
    assert knocking.listen(store.database.url) is None
    for other in others:
        assert other is not None
        other.close()
    again = knocking.listen(store.database.url)
    assert again is not None
    again.close()
