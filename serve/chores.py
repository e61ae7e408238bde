"""What the reconciler does in its loops."""

import asyncio
import logging
import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from core.manifest import MANIFEST_NAME, Manifest
from resources import aliases, base_model, erasing, run_ends, webhooks
from resources.agent_memory import FILE_NAME, AgentMemory
from resources.kept import LAST_VERSIONS, needed
from resources.mlflow_store import MlflowUnavailable
from resources.pruning import prune_files, prune_rows
from resources.reevaluation import Reevaluations
from resources.registry import Registry
from resources.retention import remove_copies
from resources.settings import ROOT, Settings
from resources.store import Store
from resources.tracking import Tracking
from resources.trainer import TrainerProcess
from serve.engine import VERSION_NAME
from serve.engine_client import EngineClient
from serve.reconciler import Chore

log = logging.getLogger(__name__)

_BROKEN_SECONDS = 20.0

_LOCATIONS = """{ workspaceOrError { ... on Workspace { locationEntries {
  name loadStatus locationOrLoadError { __typename } } } } }"""
_RELOAD = """mutation($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) { __typename } }"""


def chores(
    store: Store, registry: Registry, tracking: Tracking, engine: EngineClient, settings: Settings, lineage: str
) -> list[Chore]:
    """Every loop of the reconciler, with how often it runs."""
    http, adapters = webhooks.client(), settings.state_dir / "adapters"
    watchdog = CodeLocationWatchdog(f"http://127.0.0.1:{settings.dagster_port}")
    production = aliases.production_alias(settings.mlflow_model_stage)
    ended: set[int] = set()

    def reconcile() -> list[str]:
        return aliases.reconcile(store, registry, production=production, adapters_dir=adapters, once_served=True)

    async def align_aliases() -> None:
        for done in await asyncio.to_thread(reconcile):
            log.info("registry: %s", done)

    async def end_runs() -> None:
        if await asyncio.to_thread(registry.available):
            await asyncio.to_thread(run_ends.end_runs, store, tracking, ended)

    async def deliver_webhooks() -> None:
        await asyncio.to_thread(webhooks.deliver_due, store, http)

    erased_places = erasing.places_of(store, settings.state_dir)

    async def finish_erasures() -> None:
        if removed := await asyncio.to_thread(erasing.finish, store, erased_places):
            log.info("erased %d pieces of people who asked for it from files", removed)

    def grow_old() -> bool:
        return store.retention.turn(settings.conversation_retention_days).more

    async def apply_retention() -> None:
        while await asyncio.to_thread(grow_old):  # noqa: ASYNC110 - not waiting for anything, but letting others write
            await asyncio.sleep(1)
        days = settings.conversation_retention_days
        await asyncio.to_thread(remove_copies, settings.state_dir / "backups", days)

    threads = AgentMemory(settings.state_dir / FILE_NAME)

    async def forget_old_threads() -> None:
        if forgotten := await asyncio.to_thread(threads.forget_old, settings.agent_memory_days):
            log.info("the agent forgot %d threads that nobody used for %d days", forgotten, settings.agent_memory_days)

    def prune_all() -> dict[str, int]:
        kept = {"backups": settings.kept_champion_backups, "logs": settings.kept_trainer_logs}
        base = base_model.resolve(settings.base_model, settings.models_dir)
        files = prune_files(store, settings.state_dir, **kept, base=base)
        return files | prune_rows(store, settings.event_retention_days)

    async def prune_old() -> None:
        if removed := await asyncio.to_thread(prune_all):
            log.info("removed what nothing needs any more: %s", removed)

    async def remove_old_adapters() -> None:
        for name in await remove_old(store, adapters, lineage, engine):
            log.info("removed the adapter folder of %s; its report stays", name)

    evaluating = reevaluations(store, tracking, settings)

    async def evaluate_again() -> None:
        if done := await asyncio.to_thread(evaluating.turn):
            log.info("%s", done)

    async def shorten_log() -> None:
        await asyncio.to_thread(store.database.shorten_log)

    async def watch_experiment() -> None:
        for done in await asyncio.to_thread(store.experiments.look):
            log.info("%s", done)

    return [
        Chore("experiment", 15.0, watch_experiment),
        Chore("evaluations", 5.0, evaluate_again),
        Chore("aliases", 1.0, align_aliases),
        Chore("MLflow runs", 30.0, end_runs),
        Chore("webhooks", 1.0, deliver_webhooks),
        Chore("the store's log", 10.0, shorten_log),
        Chore("erasures", 5.0, finish_erasures),
        Chore("retention", 3600.0, apply_retention),
        Chore("agent's threads", 600.0, forget_old_threads),
        Chore("old adapters", 60.0, remove_old_adapters),
        Chore("old files and rows", 600.0, prune_old),
        Chore("code location", 5.0, watchdog.look),
    ]


def reevaluations(store: Store, tracking: Tracking, settings: Settings) -> Reevaluations:
    """What evaluates versions again, each page kept in MLflow beside the run where MLflow answers."""
    command = [sys.executable, str(ROOT / "train.py")]
    environment = {**os.environ, **settings.environment()}
    trainer = TrainerProcess(
        command,
        log_dir=settings.state_dir / "logs",
        environment=environment,
        silence_seconds=settings.trainer_silence_seconds,
    )

    def keep(n: int, folder: Path) -> None:
        run_id = store.versions.get(n).mlflow_run_id
        if run_id:
            with suppress(MlflowUnavailable):
                tracking.log_folder(run_id, folder, f"report/evaluations/{folder.name}")

    return Reevaluations(store, trainer, settings.state_dir, settings.gate_thresholds(), settings.lease_seconds, keep)


async def remove_old(store: Store, adapters: Path, lineage: str, engine: EngineClient) -> list[str]:
    """Remove adapter folders but those that are needed, the last five and what a replica of the engine holds.

    A folder is out of its name, so that nobody can begin to load it, before the engine is asked for the last time.
    """
    removed = []
    for n in await asyncio.to_thread(_old, store, adapters, lineage, set(await engine.loaded())):
        folder = adapters / f"v{n}"
        away = await asyncio.to_thread(_out_of_its_name, folder)
        try:
            wanted = f"v{n}" in await engine.loaded() or n in await asyncio.to_thread(needed, store)
        except BaseException:
            away.rename(folder)
            raise
        if wanted:
            away.rename(folder)
        else:
            await asyncio.to_thread(shutil.rmtree, away)
            removed.append(f"v{n}")
    return removed


def _old(store: Store, adapters: Path, lineage: str, in_use: set[str]) -> list[int]:
    on_disk = _versions(adapters, lineage)
    kept = {*needed(store), *on_disk[:LAST_VERSIONS], *(int(name[1:]) for name in in_use)}
    return [n for n in on_disk if n not in kept]


class CodeLocationWatchdog:
    """Reloads a Dagster code location that stays in error; without Dagster there is nothing to watch."""

    def __init__(self, url: str, http: httpx.AsyncClient | None = None) -> None:
        self._url = f"{url}/graphql"
        self._http = http or httpx.AsyncClient(timeout=10, trust_env=False)
        self._broken_since: dict[str, float] = {}

    async def look(self) -> None:
        try:
            broken = await self._broken()
        except (httpx.HTTPError, ValueError, LookupError, TypeError):
            self._broken_since.clear()
            return
        now = time.monotonic()
        self._broken_since = {name: self._broken_since.get(name, now) for name in broken}
        for name, since in self._broken_since.items():
            if now - since > _BROKEN_SECONDS:
                log.warning("the code location %s is in error since %.0f s; it is reloaded", name, now - since)
                await self._ask(_RELOAD, {"name": name})
                self._broken_since[name] = now

    async def _broken(self) -> list[str]:
        answer = await self._ask(_LOCATIONS, {})
        entries: list[dict[str, Any]] = answer["data"]["workspaceOrError"]["locationEntries"]
        return [str(entry["name"]) for entry in entries if _is_broken(entry)]

    async def _ask(self, query: str, variables: dict[str, str]) -> dict[str, Any]:
        reply = await self._http.post(self._url, json={"query": query, "variables": variables})
        answer: dict[str, Any] = reply.raise_for_status().json()
        return answer


def _is_broken(entry: dict[str, Any]) -> bool:
    loaded = entry["locationOrLoadError"] or {}
    return entry["loadStatus"] == "LOADED" and loaded.get("__typename") == "PythonError"


def _versions(adapters: Path, lineage: str) -> list[int]:
    """Finished folders of this lineage, newest first; those of another base are not ours to remove."""
    found: list[int] = []
    for path in adapters.glob(f"v*/{MANIFEST_NAME}"):
        if VERSION_NAME.fullmatch(path.parent.name):
            with suppress(ValueError):
                manifest = Manifest.from_json(path.read_bytes())
                found += [int(path.parent.name[1:])] if manifest.base_fingerprint == lineage else []
    return sorted(found, reverse=True)


def _out_of_its_name(folder: Path) -> Path:
    away = folder.with_name(f"{folder.name}.tmp-removed")
    shutil.rmtree(away, ignore_errors=True)
    return folder.rename(away)
