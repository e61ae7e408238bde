"""Who answers while an experiment runs: sticky over restarts, never mixed in a thread."""

from pathlib import Path
from typing import Any

import pytest

from core.conversation import Message
from resources.store import Store, StoreUnavailable
from serve import experiment_follower
from serve.engine_client import AdapterNotServed, EngineUnavailable
from serve.experiment_follower import ExperimentFollower
from serve.pins import Pins
from serve.turn import Turn
from tests.resources.experiment_examples import design, two_versions

pytestmark = pytest.mark.anyio


class EngineDouble:
    def __init__(self) -> None:
        self.asked: list[tuple[str, list[str]]] = []
        self.refuses: Exception | None = None

    async def ensure(self, name: str, pinned: list[str]) -> dict[str, Any]:
        self.asked.append((name, pinned))
        if self.refuses:
            raise self.refuses
        return {"loaded": True, "seconds": 0.1}


class Scene:
    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.folder, self.engine, self.pins = store, folder, EngineDouble(), Pins()
        self.pins.hold("champion", ["v2", "v1"])

    def follower(self, **more: Any) -> ExperimentFollower:
        engine: Any = self.engine
        given = {"state_dir": self.folder, "lineage": self.store.lineage, **more}
        return ExperimentFollower(self.store, engine, self.pins, **given)

    def go_away(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def away() -> None:
            raise StoreUnavailable("the database does not answer")

        monkeypatch.setattr(self.store.experiments, "running", away)


@pytest.fixture
def scene(store: Store, tmp_path: Path) -> Scene:
    two_versions(store)
    return Scene(store, tmp_path)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(experiment_follower.time, "monotonic", lambda: now[0])
    return now


def turn(user: str | None = None, said: str = "Hello", **more: Any) -> Turn:
    return Turn((Message(role="user", content=said),), "openai", user_id=user, **more)


def arms(follower: ExperimentFollower, users: int = 200) -> list[str | None]:
    found = (follower.assigned(turn(str(number))) for number in range(users))
    return [one.arm if one else None for one in found]


async def test_without_an_experiment_nobody_is_assigned(scene: Scene) -> None:
    follower = scene.follower()
    await follower.follow_once()
    assert follower.assigned(turn("kim")) is None


async def test_every_arm_is_loaded_and_pinned_before_any_traffic_reaches_it(scene: Scene) -> None:
    follower = scene.follower()
    scene.store.experiments.add(design())
    assert follower.assigned(turn("kim")) is None
    await follower.follow_once()
    assert [name for name, _ in scene.engine.asked] == ["v1", "v2"]
    assert set(scene.engine.asked[0][1]) == {"v1", "v2"}
    assert set(arms(follower)) == {"a", "b"}


async def test_a_restart_moves_nobody(scene: Scene) -> None:
    scene.store.experiments.add(design())
    before, after = scene.follower(), scene.follower()
    await before.follow_once()
    await after.follow_once()
    assert arms(before) == arms(after)


async def test_a_restart_without_the_store_moves_nobody_either(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.store.experiments.add(design(coverage=0.5))
    before = scene.follower()
    await before.follow_once()
    scene.go_away(monkeypatch)
    after = scene.follower()
    await after.follow_once()
    assert arms(before) == arms(after)
    assert None in arms(after)
    await before.follow_once()
    assert arms(before) == arms(after)


async def test_another_base_does_not_take_over_the_experiment_of_this_one(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.store.experiments.add(design())
    await scene.follower().follow_once()
    scene.go_away(monkeypatch)
    other = scene.follower(lineage="another base")
    await other.follow_once()
    assert other.current is None


async def test_names_bypass_the_experiment(scene: Scene) -> None:
    scene.store.experiments.add(design())
    follower = scene.follower()
    await follower.follow_once()
    assert follower.assigned(turn("kim", model="v1")) is None
    assert follower.assigned(turn("kim", model="base")) is None


async def test_a_thread_keeps_its_arm_whoever_is_named_later(scene: Scene) -> None:
    scene.store.experiments.add(design())
    follower = scene.follower()
    await follower.follow_once()
    for number in range(50):
        first = follower.assigned(turn(None, thread_id=f"t{number}"))
        assert first == follower.assigned(turn(f"user {number}", thread_id=f"t{number}"))


async def test_threads_of_the_same_name_are_those_of_their_users(scene: Scene) -> None:
    scene.store.experiments.add(design())
    follower = scene.follower()
    await follower.follow_once()
    users = [str(number) for number in range(40)]
    for _ in range(2):
        found = [follower.assigned(turn(user, thread_id="1")) for user in users]
        assert [one.unit for one in found if one] == [f"user:{user}" for user in users]
        assert found == [follower.assigned(turn(user)) for user in users]


async def test_a_thread_that_nobody_named_goes_to_the_first_who_is_named_in_it(scene: Scene) -> None:
    scene.store.experiments.add(design())
    follower = scene.follower()
    await follower.follow_once()
    first = follower.assigned(turn(None, thread_id="1"))
    kim, lee, kim_again = (follower.assigned(turn(name, thread_id="1")) for name in ("kim", "lee", "kim"))
    assert first == kim == kim_again
    assert lee == follower.assigned(turn("lee"))


async def test_a_thread_that_began_outside_stays_outside_when_the_coverage_grows(scene: Scene) -> None:
    experiment = scene.store.experiments.add(design(coverage=0.0))
    follower = scene.follower()
    await follower.follow_once()
    assert follower.assigned(turn("kim", thread_id="t")) is None
    scene.store.experiments.change(experiment.id, coverage=1.0)
    await follower.follow_once()
    assert follower.assigned(turn("kim", thread_id="t")) is None
    assert follower.assigned(turn("kim", thread_id="another")) is not None


async def test_a_session_counts_where_nobody_is_named(scene: Scene) -> None:
    scene.store.experiments.add(design())
    follower = scene.follower()
    await follower.follow_once()
    found = {follower.assigned(turn(None, said=str(n), session_id="s")) for n in range(20)}
    assert len(found) == 1
    assert next(iter(found)).unit == "session:s"  # type: ignore[union-attr]


async def test_who_names_nothing_is_known_by_how_the_thread_began(scene: Scene) -> None:
    scene.store.experiments.add(design())
    follower = scene.follower()
    await follower.follow_once()
    for number in range(30):
        opening = Message(role="user", content=f"question {number}")
        later = (opening, Message(role="assistant", content="so"), Message(role="user", content="and?"))
        one, two = (follower.assigned(Turn(said, "openai")) for said in ((opening,), later))
        assert one == two
        assert one is not None
        assert "question" not in one.unit


async def test_an_arm_that_cannot_answer_leaves_everybody_to_the_champion(scene: Scene, clock: list[float]) -> None:
    scene.store.experiments.add(design())
    scene.engine.refuses = AdapterNotServed("v1 refused: expected its manifest, found none")
    follower = scene.follower()
    for _ in range(3):
        await follower.follow_once()
        clock[0] += 6
    assert follower.current is None
    assert [event.data["reason"] for event in scene.store.events.page(type="experiment_waits")] == [
        "v1 refused: expected its manifest, found none"
    ]
    scene.engine.refuses = None
    await follower.follow_once()
    assert follower.current is not None


async def test_a_starting_engine_is_waited_for(scene: Scene) -> None:
    scene.store.experiments.add(design())
    scene.engine.refuses = EngineUnavailable("starting")
    follower = scene.follower()
    await follower.follow_once()
    assert follower.current is None
    scene.engine.refuses = None
    await follower.follow_once()
    assert follower.current is not None
    assert scene.store.events.page(type="experiment_waits") == []


async def test_a_restarted_engine_is_told_of_the_arms_again(scene: Scene, clock: list[float]) -> None:
    scene.store.experiments.add(design())
    follower = scene.follower()
    await follower.follow_once()
    await follower.follow_once()
    assert len(scene.engine.asked) == 2
    clock[0] += 6
    await follower.follow_once()
    assert len(scene.engine.asked) == 4


async def test_one_that_has_ended_has_no_users_while_the_next_waits(scene: Scene) -> None:
    experiment = scene.store.experiments.add(design())
    follower = scene.follower()
    await follower.follow_once()
    scene.store.experiments.stop(experiment.id, "enough", "a person")
    scene.store.experiments.add(design(name="next"))
    scene.engine.refuses = EngineUnavailable("loading")
    await follower.follow_once()
    assert follower.assigned(turn("kim")) is None
    scene.engine.refuses = None
    await follower.follow_once()
    assert set(arms(follower)) == {"a", "b"}


async def test_when_it_ends_the_champion_answers_and_nothing_stays_pinned(scene: Scene) -> None:
    experiment = scene.store.experiments.add(design())
    follower = scene.follower()
    await follower.follow_once()
    scene.store.experiments.stop(experiment.id, "enough", "a person")
    await follower.follow_once()
    assert follower.assigned(turn("kim")) is None
    assert scene.pins.all() == ["v2", "v1"]
    assert '"experiment": null' in (scene.folder / "experiment.json").read_text()


@pytest.mark.parametrize("answered", [True, False], ids=["it had answered", "it never answered"])
async def test_one_whose_arm_was_refused_leaves_nothing_behind_when_it_is_stopped(
    scene: Scene, clock: list[float], monkeypatch: pytest.MonkeyPatch, answered: bool
) -> None:
    experiment = scene.store.experiments.add(design())
    follower = scene.follower()
    if answered:
        await follower.follow_once()
        clock[0] += 6
    scene.engine.refuses = AdapterNotServed("v1 refused: expected its manifest, found none")
    await follower.follow_once()
    assert follower.current is None
    scene.store.experiments.stop(experiment.id, "an arm cannot", "a person")
    scene.pins.hold("champion", ["v2"])
    await follower.follow_once()
    assert scene.pins.all() == ["v2"]

    scene.engine.refuses = None
    scene.go_away(monkeypatch)
    after = scene.follower()
    await after.follow_once()
    assert after.current is None


@pytest.mark.parametrize("name", ["teacher", "agent"])
async def test_a_teacher_or_an_agent_that_is_not_there_is_no_arm(scene: Scene, name: str) -> None:
    arms = [{"name": "a", "model": "v1", "weight": 0.5}, {"name": "b", "model": name, "weight": 0.5}]
    scene.store.experiments.add(design(arms=arms))
    without, with_one = scene.follower(), scene.follower(**{f"has_{name}": True})
    await without.follow_once()
    await with_one.follow_once()
    assert without.current is None
    assert with_one.current is not None
