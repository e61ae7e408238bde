"""What a person pinned is held, is tried again, and never stands in the way of the champion."""

from typing import Any

import pytest

from resources.store import Store, StoreUnavailable
from serve import pin_follower
from serve.engine_client import AdapterNotServed, EngineUnavailable
from serve.pin_follower import PinFollower
from serve.pins import Pins
from tests.resources.experiment_examples import two_versions
from tests.serve.test_experiment_follower import EngineDouble

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(pin_follower.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def engine(store: Store) -> EngineDouble:
    two_versions(store)
    return EngineDouble()


def following(store: Store, engine: Any) -> tuple[PinFollower, Pins]:
    pins = Pins()
    pins.hold("champion", ["v2"])
    return PinFollower(store, engine, pins), pins


async def test_a_pin_is_held_after_the_champion_and_let_go(
    store: Store, engine: EngineDouble, clock: list[float]
) -> None:
    follower, pins = following(store, engine)
    store.deployments.pin(1, "a person", places=3)
    await follower.follow_once()
    await follower.follow_once()
    assert engine.asked == [("v1", ["v2", "v1"])]
    clock[0] += 5  # a restarted engine has forgotten it
    await follower.follow_once()
    assert len(engine.asked) == 2
    store.deployments.unpin(1, "a person")
    await follower.follow_once()
    assert pins.all() == ["v2"]


async def test_what_is_refused_is_told_once_and_tried_again_later(
    store: Store, engine: EngineDouble, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    follower, _ = following(store, engine)
    store.deployments.pin(1, "a person", places=3)
    engine.refuses = AdapterNotServed("all places are taken")
    for _ in range(20):
        await follower.follow_once()
        clock[0] += 5
    assert len(engine.asked) == 2  # at once, and a minute later
    assert caplog.text.count("v1 is pinned and not held") == 1
    engine.refuses = None
    clock[0] += 60
    await follower.follow_once()
    assert len(engine.asked) == 3


async def test_a_starting_engine_is_asked_again_at_once_and_a_store_that_is_away_changes_nothing(
    store: Store, engine: EngineDouble, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    follower, pins = following(store, engine)
    store.deployments.pin(1, "a person", places=3)
    engine.refuses = EngineUnavailable("starting")
    await follower.follow_once()
    engine.refuses = None
    await follower.follow_once()
    assert len(engine.asked) == 2

    def away() -> list[int]:
        raise StoreUnavailable("the database does not answer")

    monkeypatch.setattr(store.deployments, "pinned", away)
    clock[0] += 5
    await follower.follow_once()
    assert (pins.all(), len(engine.asked)) == (["v2", "v1"], 3)
