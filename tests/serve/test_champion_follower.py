import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.manifest import Manifest
from resources.champions import Champion
from resources.store import NotFound, StoreUnavailable
from serve import champion_follower
from serve.champion_follower import ChampionFollower, UnknownModel
from serve.engine_client import AdapterNotServed, EngineUnavailable

LINEAGE = "f00d"


class StoreDouble:
    """The champion row, the events and the versions; `away` is a database that does not answer."""

    def __init__(self) -> None:
        self.row = Champion(None, None, 0, None, None, None)
        self.away = False
        self.marked: list[tuple[int | None, float]] = []
        self.told: list[tuple[str, int | None, dict[str, Any]]] = []
        self.lineages: dict[int, str] = {}
        self.given_up: list[tuple[int, int | None, str]] = []
        self.champion = SimpleNamespace(get=self._get, mark_served=self._mark, give_up=self._give_up)
        self.events = SimpleNamespace(add=self._tell)
        self.versions = SimpleNamespace(get=self._version)

    def promote(self, n: int | None) -> None:
        self.row = replace(self.row, n=n, previous=self.row.n, seq=self.row.seq + 1)

    def _get(self) -> Champion:
        self._answer()
        return self.row

    def _mark(self, n: int | None, seconds: float) -> None:
        self._answer()
        self.marked.append((n, seconds))
        self.row = replace(self.row, served=n)

    def _give_up(self, n: int, answers: int | None, reason: str) -> None:
        self._answer()
        self.given_up.append((n, answers, reason))

    def _tell(self, kind: str, message: str, version: int | None, data: dict[str, Any]) -> None:
        self._answer()
        self.told.append((kind, version, data))

    def _version(self, n: int) -> SimpleNamespace:
        self._answer()
        if n not in self.lineages:
            raise NotFound(f"Expected a version v{n}, found none")
        return SimpleNamespace(base_fingerprint=self.lineages[n])

    def _answer(self) -> None:
        if self.away:
            raise StoreUnavailable("the database does not answer")


class EngineDouble:
    def __init__(self) -> None:
        self.asked: list[tuple[str, list[str]]] = []
        self.refuses: dict[str, Exception] = {}

    async def ensure(self, name: str, pinned: list[str]) -> dict[str, Any]:
        self.asked.append((name, pinned))
        if name in self.refuses:
            raise self.refuses[name]
        return {"loaded": True, "seconds": 0.1}


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(champion_follower.time, "monotonic", lambda: self.now)


class Scene:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.store, self.engine, self.clock = folder, StoreDouble(), EngineDouble(), Clock(monkeypatch)

    def follower(self) -> ChampionFollower:
        store: Any = self.store
        engine: Any = self.engine
        return ChampionFollower(store, engine, state_dir=self.folder, lineage=LINEAGE)

    def publish(self, n: int, lineage: str = LINEAGE) -> None:
        (self.folder / "adapters" / f"v{n}").mkdir(parents=True)
        manifest = Manifest(kind="adapter", version=n, files={"a": "0" * 64}, base_fingerprint=lineage)
        (self.folder / "adapters" / f"v{n}" / "manifest.json").write_text(manifest.to_json())
        self.store.lineages[n] = lineage


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(tmp_path, monkeypatch)


def play(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


def test_the_champion_is_loaded_before_production_means_it_and_the_store_hears_of_it(scene: Scene) -> None:
    async def story() -> None:
        follower = scene.follower()
        await follower.follow_once()
        assert follower.current == "base"
        scene.store.promote(3)
        scene.store.promote(4)
        await follower.follow_once()
        assert await follower.resolve("production") == "v4"
        assert scene.engine.asked[-2:] == [("v4", ["v4", "v3"]), ("v3", ["v4", "v3"])]
        assert [n for n, _ in scene.store.marked] == [4]
        assert json.loads((scene.folder / "champion.json").read_text()) == {"lineage": LINEAGE, "n": 4, "previous": 3}

    play(story)


def test_a_rollback_to_the_base_needs_no_adapter(scene: Scene) -> None:
    async def story() -> None:
        follower = scene.follower()
        scene.store.promote(1)
        await follower.follow_once()
        scene.store.promote(None)
        await follower.follow_once()
        assert follower.current == "base"
        assert scene.engine.asked[-2:] == [("base", ["v1"]), ("v1", ["v1"])]

    play(story)


def test_production_waits_until_the_first_champion_is_served(scene: Scene) -> None:
    async def story() -> None:
        scene.store.promote(2)
        follower = scene.follower()
        scene.engine.refuses["v2"] = EngineUnavailable("starting")
        await follower.follow_once()
        asking = asyncio.create_task(follower.resolve("production"))
        await asyncio.sleep(0)
        assert not asking.done()
        scene.engine.refuses.clear()
        await follower.follow_once()
        assert await asking == "v2"

    play(story)


def test_a_champion_that_is_refused_leaves_the_old_one_and_is_told_once(scene: Scene) -> None:
    async def story() -> None:
        follower = scene.follower()
        scene.store.promote(1)
        await follower.follow_once()
        scene.engine.refuses["v2"] = AdapterNotServed("expected this hash, found that")
        scene.store.promote(2)
        for _ in range(5):
            scene.clock.now += 60
            await follower.follow_once()
        assert follower.current == "v1"
        assert scene.store.told == [("swap_failed", 2, {"reason": "expected this hash, found that"})]
        scene.engine.refuses.clear()
        scene.clock.now += 60
        await follower.follow_once()
        assert follower.current == "v2"

    play(story)


def test_after_some_tries_who_answers_meanwhile_is_champion_again(scene: Scene) -> None:
    async def story() -> None:
        follower = scene.follower()
        scene.store.promote(1)
        await follower.follow_once()
        scene.engine.refuses["v2"] = AdapterNotServed("expected this hash, found that")
        scene.store.promote(2)
        await follower.follow_once()
        tries = len(scene.engine.asked)
        for _ in range(5):
            scene.clock.now += 1
            await follower.follow_once()
        assert (len(scene.engine.asked) - tries, scene.store.given_up) == (2, [])
        scene.clock.now += 4
        await follower.follow_once()
        assert scene.store.given_up == [(2, 1, "refused: expected this hash, found that")]
        scene.store.promote(1)
        await follower.follow_once()
        scene.store.promote(2)
        scene.engine.refuses["v2"] = AdapterNotServed("another reason")
        await follower.follow_once()
        assert len(scene.store.given_up) == 1  # what is asked for again is tried again

    play(story)


def test_a_champion_that_cannot_be_served_from_the_start_is_never_given_up(scene: Scene) -> None:
    async def story() -> None:
        follower = scene.follower()
        scene.store.promote(1)
        scene.engine.refuses["v1"] = AdapterNotServed("the disk is not there yet")
        for _ in range(60):
            scene.clock.now += 5
            await follower.follow_once()
        assert (follower.current, scene.store.given_up) == ("base", [])
        scene.engine.refuses.clear()
        scene.clock.now += 60
        await follower.follow_once()
        assert follower.current == "v1"

    play(story)


def test_an_engine_that_is_away_is_no_reason_to_give_a_champion_up(scene: Scene) -> None:
    async def story() -> None:
        follower = scene.follower()
        scene.store.promote(1)
        scene.engine.refuses["v1"] = EngineUnavailable("restarting")
        for _ in range(60):
            scene.clock.now += 5
            await follower.follow_once()
        assert scene.store.given_up == []

    play(story)


def test_a_refused_champion_is_tried_again_ever_more_rarely_but_its_successor_at_once(scene: Scene) -> None:
    async def story() -> None:
        follower = scene.follower()
        await follower.follow_once()
        scene.engine.refuses["v1"] = AdapterNotServed("no")
        scene.store.promote(1)
        before = len(scene.engine.asked)
        for _ in range(600):
            await follower.follow_once()
            scene.clock.now += 0.5
        assert 10 <= len(scene.engine.asked) - before <= 20
        scene.store.promote(2)
        await follower.follow_once()
        assert follower.current == "v2"

    play(story)


def test_without_the_store_a_start_serves_the_last_known_champion(scene: Scene) -> None:
    async def story() -> None:
        scene.store.promote(5)
        await scene.follower().follow_once()
        scene.store.away = True
        follower = scene.follower()
        await follower.follow_once()
        assert await follower.resolve("production") == "v5"
        scene.store.away = False
        scene.store.promote(6)
        await follower.follow_once()
        assert follower.current == "v6"

    play(story)


def test_a_store_that_leaves_changes_nothing(scene: Scene) -> None:
    async def story() -> None:
        scene.store.promote(5)
        follower = scene.follower()
        await follower.follow_once()
        scene.store.away = True
        scene.clock.now += 60
        await follower.follow_once()
        assert follower.current == "v5"

    play(story)


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"n": 5}', '{"lineage": "other", "n": 5, "previous": null}'])
def test_without_a_usable_memory_of_this_lineage_the_base_answers(scene: Scene, content: str | None) -> None:
    async def story() -> None:
        if content is not None:
            (scene.folder / "champion.json").write_text(content)
        scene.store.away = True
        follower = scene.follower()
        await follower.follow_once()
        assert await follower.resolve("production") == "base"

    play(story)


def test_a_start_with_an_unservable_champion_falls_back_to_the_one_before(scene: Scene) -> None:
    async def story() -> None:
        scene.store.promote(1)
        scene.store.promote(2)
        scene.engine.refuses["v2"] = AdapterNotServed("half-written")
        follower = scene.follower()
        await follower.follow_once()
        assert await follower.resolve("production") == "v1"
        assert [kind for kind, _, _ in scene.store.told] == ["swap_failed"]

    play(story)


def test_an_engine_that_restarted_gets_its_champion_and_its_pins_again(scene: Scene) -> None:
    async def story() -> None:
        scene.store.promote(1)
        follower = scene.follower()
        await follower.follow_once()
        await follower.follow_once()
        assert len(scene.engine.asked) == 1
        scene.clock.now += 60
        await follower.follow_once()
        assert scene.engine.asked[1:] == [("v1", ["v1"])]
        assert len(scene.store.marked) == 1

    play(story)


def test_the_return_of_an_engine_that_was_away_is_told_once(scene: Scene) -> None:
    async def story() -> None:
        follower, told = scene.follower(), []
        follower.when_back(lambda: told.append(scene.clock.now))
        scene.store.promote(1)
        await follower.follow_once()
        scene.engine.refuses["v1"] = EngineUnavailable("restarting")
        scene.clock.now += 60
        await follower.follow_once()
        await follower.follow_once()
        assert (told, len(scene.engine.asked)) == ([], 3)
        scene.engine.refuses.clear()
        await follower.follow_once()
        await follower.follow_once()
        assert told == [scene.clock.now]

    play(story)


def test_a_disk_that_is_full_does_not_stop_the_swap(scene: Scene) -> None:
    async def story() -> None:
        (scene.folder / "champion.json").mkdir()
        scene.store.promote(1)
        follower = scene.follower()
        await follower.follow_once()
        assert follower.current == "v1"
        assert len(scene.store.marked) == 1

    play(story)


def test_names_are_those_of_this_lineage_on_disk(scene: Scene) -> None:
    async def story() -> None:
        scene.publish(2)
        scene.publish(10)
        scene.publish(3, lineage="other")
        (scene.folder / "adapters" / "v4").mkdir()  # no manifest: it does not exist
        follower = scene.follower()
        await follower.follow_once()
        assert follower.names() == ["production", "base", "v2", "v10"]
        assert await follower.resolve("v10") == "v10"
        assert await follower.resolve("base") == "base"
        for name in ("v3", "v4", "v5", "v02", "../v2", "gpt-4", "", "v2\n"):
            with pytest.raises(UnknownModel, match="Expected one of"):
                await follower.resolve(name)
        scene.store.away = True
        assert await follower.resolve("v2") == "v2"

    play(story)


def test_what_answers_now_stays_in_the_engine_until_the_other_can(scene: Scene) -> None:
    async def story() -> None:
        follower = scene.follower()
        scene.store.promote(1)
        await follower.follow_once()
        scene.store.promote(2)
        scene.store.promote(3)
        scene.engine.refuses["v3"] = AdapterNotServed("no")
        await follower.follow_once()
        assert follower.current == "v1"
        assert scene.engine.asked[-1] == ("v3", ["v3", "v1", "v2"])

    play(story)


def test_a_champion_before_that_is_refused_is_asked_for_rarely(scene: Scene) -> None:
    async def story() -> None:
        follower = scene.follower()
        scene.store.promote(1)
        scene.store.promote(2)
        scene.engine.refuses["v1"] = AdapterNotServed("its files are gone")
        for _ in range(60):
            await follower.follow_once()
            scene.clock.now += 5
        assert follower.current == "v2"
        assert 4 <= len([name for name, _ in scene.engine.asked if name == "v1"]) <= 6

    play(story)


def test_a_bell_makes_it_look_at_once(scene: Scene) -> None:
    async def story() -> None:
        follower = scene.follower()
        follower._interval = 3600
        running = asyncio.create_task(follower.run())
        assert await follower.resolve("production") == "base"
        scene.store.promote(1)
        follower.bell.set()
        async with asyncio.timeout(5):
            while await follower.resolve("production") != "v1":  # noqa: ASYNC110 - it changes by assignment
                await asyncio.sleep(0)
        running.cancel()

    play(story)


def test_the_loop_outlives_whatever_happens_in_it(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        follower = scene.follower()
        follower._interval = 0
        failed = asyncio.Event()

        def fail_once() -> Champion:
            scene.store.champion.get = scene.store._get
            failed.set()
            raise RuntimeError("nobody thought of this")

        scene.store.champion.get = fail_once
        scene.store.promote(1)
        running = asyncio.create_task(follower.run())
        async with asyncio.timeout(5):
            assert await follower.resolve("production") == "v1"
        assert failed.is_set()
        running.cancel()

    play(story)
