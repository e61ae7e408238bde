import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from core.manifest import Manifest
from resources.settings import Settings
from resources.store import Store
from serve import chores
from serve.chores import CodeLocationWatchdog, remove_old
from serve.engine_client import EngineUnavailable
from tests.fakes import FakeEngine, FakeRegistry, FakeTracking

LINEAGE = "f00d"


def publish(adapters: Path, n: int, lineage: str = LINEAGE) -> None:
    manifest = Manifest(
        kind="adapter", version=n, files={"adapter_model.safetensors": "0" * 64}, base_fingerprint=lineage
    )
    (adapters / f"v{n}").mkdir()
    (adapters / f"v{n}" / "manifest.json").write_text(manifest.to_json())


def store(
    n: int | None,
    previous: int | None = None,
    unfinished: int | None = None,
    parent: int | None = None,
    pinned: frozenset[int] = frozenset(),
) -> Any:
    version = SimpleNamespace(n=unfinished, parent=parent) if unfinished else None
    return SimpleNamespace(
        champion=SimpleNamespace(get=lambda: SimpleNamespace(n=n, previous=previous)),
        versions=SimpleNamespace(unfinished=lambda: version),
        experiments=SimpleNamespace(pinned=lambda: pinned),
        deployments=SimpleNamespace(pinned=frozenset),
        evaluations=SimpleNamespace(versions_in_need=set),
    )


def prune(store: Any, adapters: Path, lineage: str, in_use: set[str]) -> list[str]:
    return asyncio.run(remove_old(store, adapters, lineage, Holding(in_use)))


class Holding(FakeEngine):
    """An engine that holds `names`, and from the second time it is asked `later` as well."""

    def __init__(self, names: set[str], later: set[str] | None = None) -> None:
        super().__init__()
        self.names, self.later, self.looks = names, later or set(), 0

    async def loaded(self) -> list[str]:
        self.looks += 1
        return sorted(self.names | (self.later if self.looks > 1 else set()))


def left(adapters: Path) -> list[int]:
    return sorted(int(path.name[1:]) for path in adapters.iterdir())


def test_champion_previous_the_last_five_and_what_the_engine_holds_are_kept(tmp_path: Path) -> None:
    for n in range(1, 13):
        publish(tmp_path, n)
    assert prune(store(4, 2), tmp_path, LINEAGE, in_use={"v6"}) == ["v7", "v5", "v3", "v1"]
    assert left(tmp_path) == [2, 4, 6, 8, 9, 10, 11, 12]


def test_a_version_that_is_loaded_in_the_last_moment_keeps_its_files(tmp_path: Path) -> None:
    for n in range(1, 9):
        publish(tmp_path, n)
    removed = asyncio.run(remove_old(store(8, 7), tmp_path, LINEAGE, Holding(set(), later={"v2"})))
    assert removed == ["v3", "v1"]
    assert left(tmp_path) == [2, 4, 5, 6, 7, 8]


def test_an_engine_that_does_not_answer_keeps_all_files(tmp_path: Path) -> None:
    class Dies(Holding):
        async def loaded(self) -> list[str]:
            if self.looks:
                raise EngineUnavailable("dead")
            return await super().loaded()

    for n in range(1, 9):
        publish(tmp_path, n)
    with pytest.raises(EngineUnavailable):
        asyncio.run(remove_old(store(8, 7), tmp_path, LINEAGE, Dies(set())))
    assert left(tmp_path) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_versions_of_an_open_experiment_are_kept(tmp_path: Path) -> None:
    for n in range(1, 9):
        publish(tmp_path, n)
    assert prune(store(8, 7, pinned=frozenset({1, 2})), tmp_path, LINEAGE, set()) == ["v3"]


def test_what_an_unfinished_version_starts_from_is_kept(tmp_path: Path) -> None:
    for n in range(1, 9):
        publish(tmp_path, n)
    assert prune(store(None, unfinished=9, parent=1), tmp_path, LINEAGE, set()) == ["v3", "v2"]


def test_adapters_of_another_base_and_folders_that_are_no_adapters_are_left_alone(tmp_path: Path) -> None:
    for n in range(1, 9):
        publish(tmp_path, n, lineage="other" if n <= 2 else LINEAGE)
    (tmp_path / "v9").mkdir()
    (tmp_path / "v10").mkdir()
    (tmp_path / "v10" / "manifest.json").write_text("{")
    assert prune(store(None), tmp_path, LINEAGE, set()) == ["v3"]
    assert left(tmp_path) == [1, 2, 4, 5, 6, 7, 8, 9, 10]


class Dagster:
    """Dagster's GraphQL, with one code location in error or not; `away` is a port that nobody listens on."""

    def __init__(self) -> None:
        self.broken, self.away, self.garbage = True, False, False
        self.reloaded: list[str] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        if self.away:
            raise httpx.ConnectError("refused", request=request)
        if self.garbage:
            return httpx.Response(200, text="<html>")
        asked = json.loads(request.content)
        if "mutation" in asked["query"]:
            self.reloaded.append(asked["variables"]["name"])
            return httpx.Response(200, json={"data": {}})
        kind = "PythonError" if self.broken else "RepositoryLocation"
        entry = {"name": "definitions.py", "loadStatus": "LOADED", "locationOrLoadError": {"__typename": kind}}
        return httpx.Response(200, json={"data": {"workspaceOrError": {"locationEntries": [entry]}}})

    def watchdog(self) -> CodeLocationWatchdog:
        client = httpx.AsyncClient(transport=httpx.MockTransport(self.answer))
        return CodeLocationWatchdog("http://dagster", client)


def look(watchdog: CodeLocationWatchdog, monkeypatch: pytest.MonkeyPatch, seconds: list[float]) -> None:
    async def story() -> None:
        for now in seconds:
            monkeypatch.setattr(chores.time, "monotonic", lambda now=now: now)
            await watchdog.look()

    asyncio.run(story())


def test_a_code_location_in_error_for_twenty_seconds_is_reloaded_and_then_given_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dagster = Dagster()
    look(dagster.watchdog(), monkeypatch, [0, 5, 10, 15, 20])
    assert dagster.reloaded == []
    dagster = Dagster()
    look(dagster.watchdog(), monkeypatch, [0, 10, 21, 30, 40])
    assert dagster.reloaded == ["definitions.py"]


def test_a_code_location_that_recovers_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    dagster = Dagster()
    watchdog = dagster.watchdog()
    look(watchdog, monkeypatch, [0, 15])
    dagster.broken = False
    look(watchdog, monkeypatch, [18])
    dagster.broken = True
    look(watchdog, monkeypatch, [25, 30])
    assert dagster.reloaded == []


@pytest.mark.parametrize("trouble", ["away", "garbage"])
def test_without_dagster_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch, trouble: str) -> None:
    dagster = Dagster()
    setattr(dagster, trouble, True)
    look(dagster.watchdog(), monkeypatch, [0, 30, 60])
    assert dagster.reloaded == []


def test_every_chore_does_its_work_on_a_new_installation(sqlite_store: Store, tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state", conversation_retention_days=30, _env_file=None)
    parts = (FakeRegistry(), FakeTracking(), FakeEngine())
    every = chores.chores(sqlite_store, *parts, settings, LINEAGE)

    async def once() -> None:
        for chore in every:
            await chore.work()

    asyncio.run(once())
    assert {"aliases", "erasures", "retention", "old adapters", "old files and rows"} <= {chore.name for chore in every}
    assert sqlite_store.events.page() == []
