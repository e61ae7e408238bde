"""An ingress over a real store and a double of the engine."""

import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from core.live_settings import LiveSettings
from resources.capture import CaptureWriter
from resources.store import Store, open_store
from serve.api import IngressDeps, build_api
from tests.fakes import FakeEngine, FakeFollower, work_in_a_thread
from tests.serve.quick_routes import quick_routes
from wrappers.lora import LoraWrapper

LOCAL = "http://127.0.0.1:8000"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store, brought up to date once for all tests."""
    path = tmp_path_factory.mktemp("store") / "empty.db"
    open_store(f"sqlite:///{path}", live_defaults=LiveSettings()).close()
    return path


@pytest.fixture
def store(tmp_path: Path, migrated: Path) -> Iterator[Store]:
    path = shutil.copy(migrated, tmp_path / "store.db")
    opened = Store(f"sqlite:///{path}", live_defaults=LiveSettings(), lineage="fake")
    yield opened
    opened.close()


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def follower() -> FakeFollower:
    return FakeFollower(versions=["v1", "v2"])


@pytest.fixture
def deps(store: Store, engine: FakeEngine, follower: FakeFollower, tmp_path: Path) -> Iterator[IngressDeps]:
    writer = CaptureWriter(store)
    yield IngressDeps(
        engine=engine,
        store=store,
        writer=writer,
        follower=follower,
        live=LiveSettings(),
        backups=tmp_path / "backups",
        uploads=tmp_path / "uploads",
        make_wrapper=lambda complete: LoraWrapper(complete=complete),
        look_seconds=0.01,
        worker=work_in_a_thread,
        tokenizer=str(tmp_path),
        base_model="tiny",
        adapters=tmp_path / "adapters",
        state_dir=tmp_path,
    )
    writer.close()


@pytest.fixture
def changes() -> dict[str, Any]:
    """Fields of IngressDeps that a test replaces, by overriding this fixture or by parametrizing it."""
    return {}


@pytest.fixture
async def api(deps: IngressDeps, changes: dict[str, Any], anyio_backend: str) -> AsyncIterator[FastAPI]:
    with quick_routes():
        built = build_api(replace(deps, **changes))
    async with built.router.lifespan_context(built):
        yield built


@pytest.fixture
async def client(api: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url=LOCAL) as opened:
        yield opened
