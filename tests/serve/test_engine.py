import asyncio
import json
import pickle
import random
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from serve import engine as engine_module
from serve.engine import Engine
from serve.engine_client import PLACES_TAKEN, AdapterNotServed, Body, EngineUnavailable
from serve.last_served import EXPERIMENT, LastChampion, keep_champion
from serve.replicas import hold_last_served


class Backend:
    """Stands for vLLM: refuses what it was told to refuse, and notes every misuse."""

    max_model_len = 2048
    unfinished = 0

    def __init__(self) -> None:
        self.resident: dict[str, Path] = {}
        self.orphans: list[str] = []
        self.running: Counter[str] = Counter()
        self.misuse: list[str] = []
        self.added: list[str] = []
        self.most_resident = 0
        self.refuses_to_load: set[str] = set()
        self.refuses_to_answer: set[str] = set()
        self.loading, self.go_on = asyncio.Event(), asyncio.Event()
        self.go_on.set()
        self.working = asyncio.Event()
        self.aborted = 0

    async def chat(self, body: Body) -> tuple[dict[str, Any], AsyncGenerator[str, None] | None]:
        name = body["model"]
        if name != "base" and name not in self.resident:
            self.misuse.append(f"asked for {name}, which is not resident")
        if name in self.refuses_to_answer:
            return {"status": 500, "json": {"error": {"message": "NaN in the logits"}}}, None
        if body.get("stream"):
            return {"status": 200}, self._stream(name)
        await self._work(name)
        return {"status": 200, "json": {"model": name}}, None

    async def _stream(self, name: str) -> AsyncGenerator[str, None]:
        for word in ("a", "b", "c"):
            await self._work(name)
            yield f"{name}:{word}"

    async def _work(self, name: str) -> None:
        self.running[name] += 1
        self.working.set()
        try:
            await asyncio.sleep(0)
            await self.go_on.wait()
        except BaseException:
            self.aborted += 1
            raise
        finally:
            self.running[name] -= 1

    async def add(self, name: str, folder: Path) -> None:
        if name in self.resident:
            self.misuse.append(f"{name} loaded over itself")
        self.added.append(name)
        self.orphans.append(name)
        self.loading.set()
        await asyncio.sleep(0)
        await self.go_on.wait()
        if name in self.refuses_to_load:
            raise AdapterNotServed(f"{name} refused by the double")
        self.orphans.remove(name)
        self.resident[name] = folder
        self.most_resident = max(self.most_resident, len(self.resident))

    async def remove(self, name: str) -> None:
        if self.running[name]:
            self.misuse.append(f"{name} removed under a running request")
        self.resident.pop(name, None)
        await asyncio.sleep(0)

    async def sweep(self) -> list[int]:
        swept = list(range(len(self.orphans)))
        self.orphans.clear()
        return swept

    async def check(self) -> None:
        if not self.go_on.is_set():
            raise EngineUnavailable("dead")


def verify(folder: Path, lineage: str) -> None:
    if not (folder / "manifest.json").exists():
        raise ValueError(f"Expected manifest.json in {folder}, found none")


@pytest.fixture
def adapters(tmp_path: Path) -> Path:
    for n in range(1, 10):
        (tmp_path / f"v{n}").mkdir()
        (tmp_path / f"v{n}" / "manifest.json").touch()
    return tmp_path


def engine_over(backend: Backend, adapters: Path, capacity: int = 2) -> Engine:
    return Engine(backend, adapters=adapters, verify=verify, model="m", lineage="f00d", capacity=capacity)


async def ask(engine: Engine, model: str, **more: Any) -> list[Any]:
    async with aclosing(engine.chat({"model": model, "messages": [], **more})) as items:
        return [item async for item in items]


def test_an_adapter_is_loaded_once_and_answers(adapters: Path) -> None:
    async def play() -> None:
        backend = Backend()
        engine = engine_over(backend, adapters)
        first = await engine.ensure("v1", ["v1"])
        again = await engine.ensure("v1", ["v1"])
        assert (first["loaded"], again["loaded"]) == (True, False)
        assert backend.added == ["v1"]
        assert backend.resident["v1"] == adapters / "v1"
        assert await engine.loaded() == ["v1"]
        assert await ask(engine, "v1") == [{"status": 200, "json": {"model": "v1"}}]
        assert await ask(engine, "v1", stream=True) == [{"status": 200}, "v1:a", "v1:b", "v1:c"]

    asyncio.run(play())


def test_callers_at_the_same_time_share_one_load(adapters: Path) -> None:
    async def play() -> None:
        backend = Backend()
        engine = engine_over(backend, adapters)
        answers = await asyncio.gather(
            *(engine.ensure("v1", []) for _ in range(8)), *(ask(engine, "v1") for _ in "123")
        )
        assert [answer["loaded"] for answer in answers[:8]].count(True) <= 1
        assert backend.added == ["v1"]

    asyncio.run(play())


def test_an_adapter_that_fails_its_check_never_reaches_the_engine(adapters: Path) -> None:
    async def play() -> None:
        backend = Backend()
        engine = engine_over(backend, adapters)
        (adapters / "v1" / "manifest.json").unlink()
        with pytest.raises(AdapterNotServed, match=r"v1 refused: Expected manifest\.json"):
            await engine.ensure("v1", [])
        assert backend.added == []
        assert await engine.loaded() == []

    asyncio.run(play())


@pytest.mark.parametrize("fault", ["refuses_to_load", "refuses_to_answer"])
def test_after_a_failed_load_nothing_of_it_stays_and_the_others_answer(adapters: Path, fault: str) -> None:
    async def play() -> None:
        backend = Backend()
        engine = engine_over(backend, adapters)
        await engine.ensure("v1", [])
        getattr(backend, fault).add("v2")
        with pytest.raises(AdapterNotServed, match="v2"):
            await engine.ensure("v2", [])
        assert (list(backend.resident), backend.orphans) == (["v1"], [])
        assert await engine.loaded() == ["v1"]
        assert (await ask(engine, "v1"))[0]["status"] == 200
        getattr(backend, fault).clear()
        assert (await engine.ensure("v2", []))["loaded"]

    asyncio.run(play())


def test_a_cancelled_load_leaves_nothing_and_frees_the_lock(adapters: Path) -> None:
    async def play() -> None:
        backend = Backend()
        engine = engine_over(backend, adapters)
        backend.go_on.clear()
        loading = asyncio.create_task(engine.ensure("v1", []))
        await backend.loading.wait()
        loading.cancel()
        backend.go_on.set()
        assert isinstance((await asyncio.gather(loading, return_exceptions=True))[0], asyncio.CancelledError)
        assert (backend.resident, backend.orphans) == ({}, [])
        assert (await engine.ensure("v1", []))["loaded"]

    asyncio.run(play())


def test_room_is_made_by_dropping_the_least_recently_asked_version_that_is_neither_pinned_nor_answering(
    adapters: Path,
) -> None:
    async def play() -> None:
        backend = Backend()
        engine = engine_over(backend, adapters, capacity=3)
        for name in ("v1", "v2", "v3"):
            await engine.ensure(name, ["v1"])
        await ask(engine, "v2")
        await engine.ensure("v4", ["v1"])
        assert sorted(backend.resident) == ["v1", "v2", "v4"]

    asyncio.run(play())


def test_a_version_that_answers_is_never_dropped(adapters: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "_DRAIN_SECONDS", 0.02)

    async def play() -> None:
        backend = Backend()
        engine = engine_over(backend, adapters, capacity=1)
        await engine.ensure("v1", [])
        async with aclosing(engine.chat({"model": "v1", "messages": [], "stream": True})) as items:
            await anext(items)
            refused = [item async for item in engine.chat({"model": "v2", "messages": [], "stream": True})]
            assert [item["json"]["error"]["code"] for item in refused if isinstance(item, dict)] == [PLACES_TAKEN]
            with pytest.raises(AdapterNotServed, match="all 1 adapter places are taken by v1"):
                await engine.ensure("v2", [])
        assert (await engine.ensure("v2", []))["loaded"]
        assert list(backend.resident) == ["v2"]

    asyncio.run(play())


def test_a_pinned_version_is_never_dropped(adapters: Path) -> None:
    async def play() -> None:
        engine = engine_over(Backend(), adapters, capacity=2)
        await engine.ensure("v1", ["v1", "v2"])
        await engine.ensure("v2", ["v1", "v2"])
        with pytest.raises(AdapterNotServed, match="ENGINE_ADAPTERS"):
            await engine.ensure("v3", ["v1", "v2"])

    asyncio.run(play())


def test_a_load_that_finds_no_place_waits_until_one_is_drained(adapters: Path) -> None:
    async def play() -> None:
        backend = Backend()
        engine = engine_over(backend, adapters, capacity=1)
        await engine.ensure("v1", ["v1"])
        async with aclosing(engine.chat({"model": "v1", "messages": [], "stream": True})) as items:
            await anext(items)
            loading = asyncio.create_task(engine.ensure("v2", ["v2"]))
            await asyncio.sleep(0.02)
            assert list(backend.resident) == ["v1"]
            assert [item async for item in items][-1] == "v1:c"
        assert (await loading)["loaded"]
        assert (list(backend.resident), backend.misuse) == (["v2"], [])

    asyncio.run(play())


def test_where_places_are_few_what_is_needed_less_makes_room_for_what_is_needed_more(adapters: Path) -> None:
    async def play() -> None:
        backend = Backend()
        engine = engine_over(backend, adapters, capacity=2)
        await engine.ensure("v1", ["v1"])
        await engine.ensure("v2", ["v2", "v1"])
        await engine.ensure("v3", ["v3", "v2", "v1"])
        assert sorted(backend.resident) == ["v2", "v3"]
        with pytest.raises(AdapterNotServed, match="each pinned or answering"):
            await engine.ensure("v1", ["v3", "v2", "v1"])

    asyncio.run(play())


def test_what_lost_its_pin_is_unloaded_a_while_after_its_last_reply(
    adapters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(engine_module.time, "monotonic", lambda: now[0])

    async def play() -> None:
        backend = Backend()
        engine = engine_over(backend, adapters, capacity=4)
        for pinned in (["v1"], ["v2", "v1"], ["v3", "v2"]):
            await engine.ensure(pinned[0], pinned)
        await ask(engine, "v9")  # asked for by its name: it stays while there is room
        await engine.ensure("v3", ["v3", "v2"])
        assert sorted(backend.resident) == ["v1", "v2", "v3", "v9"]
        async with aclosing(engine.chat({"model": "v1", "messages": [], "stream": True})) as items:
            await anext(items)
            now[0] += 60
            await engine.ensure("v3", ["v3", "v2"])
            assert "v1" in backend.resident
        await engine.ensure("v3", ["v3", "v2"])
        assert sorted(backend.resident) == ["v2", "v3", "v9"]
        await engine.ensure("v1", ["v1", "v3"])
        await engine.ensure("v2", ["v2", "v1", "v3"])
        now[0] += 60
        await engine.ensure("v2", ["v2", "v1", "v3"])
        assert sorted(backend.resident) == ["v1", "v2", "v3", "v9"]
        assert backend.misuse == []

    asyncio.run(play())


def test_what_is_just_being_loaded_counts_as_loaded(adapters: Path) -> None:
    async def play() -> None:
        backend = Backend()
        engine = engine_over(backend, adapters)
        backend.go_on.clear()
        loading = asyncio.create_task(engine.ensure("v1", ["v1"]))
        await backend.loading.wait()
        assert await engine.loaded() == ["v1"]
        backend.go_on.set()
        await loading
        assert await engine.loaded() == ["v1"]

    asyncio.run(play())


def test_an_engine_that_starts_holds_what_was_served_last(adapters: Path) -> None:
    async def play() -> None:
        backend = Backend()
        backend.refuses_to_load = {"v4"}
        engine = engine_over(backend, adapters, capacity=3)
        keep_champion(adapters, LastChampion("f00d", 2, 1))
        arms = [{"name": "a", "model": "base"}, {"name": "b", "model": "v4"}, {"name": "c", "model": "v5"}]
        kept = {"lineage": "f00d", "experiment": {"design": {"arms": arms}}}
        (adapters / EXPERIMENT).write_text(json.dumps(kept))
        await hold_last_served(engine, adapters, "f00d")
        assert sorted(backend.resident) == ["v1", "v2", "v5"]
        other = engine_over(Backend(), adapters)
        await hold_last_served(other, adapters, "another base")
        assert await other.loaded() == []

    asyncio.run(play())


def test_a_version_on_disk_is_loaded_by_the_request_that_asks_for_it(adapters: Path) -> None:
    async def play() -> None:
        backend = Backend()
        engine = engine_over(backend, adapters)
        assert (await ask(engine, "v3"))[0] == {"status": 200, "json": {"model": "v3"}}
        assert backend.added == ["v3"]

    asyncio.run(play())


@pytest.mark.parametrize("name", ["v77", "production", "../v1", "v01", "", None, 3, ["v1"]])
def test_an_unknown_model_is_a_404_in_the_openai_shape_and_nothing_is_loaded(adapters: Path, name: Any) -> None:
    async def play() -> None:
        backend = Backend()
        (head,) = await ask(engine_over(backend, adapters), name)
        assert head["status"] == 404
        assert set(head["json"]["error"]) == {"message", "type", "param", "code"}
        assert backend.added == []

    asyncio.run(play())


def test_a_version_that_cannot_be_loaded_is_a_503_that_says_why(adapters: Path) -> None:
    async def play() -> None:
        backend = Backend()
        backend.refuses_to_load.add("v1")
        (head,) = await ask(engine_over(backend, adapters), "v1")
        assert head["status"] == 503
        assert "refused by the double" in head["json"]["error"]["message"]

    asyncio.run(play())


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_hangs_up_aborts_the_request_and_frees_its_adapter(adapters: Path, stream: bool) -> None:
    async def play() -> None:
        backend = Backend()
        engine = engine_over(backend, adapters, capacity=1)
        await engine.ensure("v1", [])
        backend.working.clear()
        backend.go_on.clear()
        asking = asyncio.create_task(ask(engine, "v1", stream=stream))
        await backend.working.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert (backend.aborted, backend.running["v1"]) == (1, 0)
        backend.go_on.set()
        assert (await engine.ensure("v2", []))["loaded"]

    asyncio.run(play())


def test_a_dead_engine_is_not_ready(adapters: Path) -> None:
    async def play() -> None:
        backend = Backend()
        engine = engine_over(backend, adapters)
        assert await engine.ready() == {"model": "m", "lineage": "f00d", "max_model_len": 2048, "unfinished": 0}
        backend.go_on.clear()
        with pytest.raises(EngineUnavailable):
            await engine.ready()

    asyncio.run(play())


def test_the_refusal_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(AdapterNotServed("expected this, found that")))  # noqa: S301 - what Ray does
    assert (type(error), str(error)) == (AdapterNotServed, "expected this, found that")


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_order_no_adapter_is_dropped_in_use_mixed_or_left_over(adapters: Path, seed: int) -> None:
    async def play() -> None:
        dice, backend = random.Random(seed), Backend()
        engine = engine_over(backend, adapters, capacity=3)
        backend.refuses_to_load.add("v9")

        async def swap() -> None:
            n = dice.randint(1, 9)
            try:
                await engine.ensure(f"v{n}", [f"v{n}", f"v{n - 1}"])
            except AdapterNotServed:
                return

        async def chat() -> None:
            name = f"v{dice.randint(1, 9)}"
            head, *rest = await ask(engine, name, stream=dice.random() < 0.5)
            assert head["status"] in (200, 503)
            assert all(item.startswith(f"{name}:") for item in rest)

        tasks = []
        for _ in range(150):
            tasks.append(asyncio.create_task(swap() if dice.random() < 0.2 else chat()))
            if dice.random() < 0.2:
                dice.choice(tasks).cancel()
            for _ in range(dice.randint(0, 3)):
                await asyncio.sleep(0)
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [e for e in ended if e is not None and not isinstance(e, asyncio.CancelledError)] == []
        assert backend.misuse == []
        assert backend.most_resident <= 3
        assert sorted(await engine.loaded()) == sorted(backend.resident)
        assert set(engine._users.values()) <= {0}
        assert backend.orphans == []

    asyncio.run(play())
