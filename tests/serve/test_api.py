"""The app without its store: chat goes on, what needs the store says so, and it comes back by itself."""

import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from core.live_settings import LiveSettings
from resources.capture import CaptureWriter
from resources.store import Store
from serve.api import IngressDeps, build_api
from tests.serve.ingress_fixtures import LOCAL

pytestmark = pytest.mark.anyio

ASK = {"messages": [{"role": "user", "content": "My printer is not printing."}]}


@pytest.fixture
def gone(tmp_path: Path) -> Path:
    """Where the store will be, and is not."""
    return tmp_path / "gone.db"


@pytest.fixture
async def without(deps: IngressDeps, gone: Path, anyio_backend: str) -> AsyncIterator[httpx.AsyncClient]:
    """An ingress that was started while its store was away."""
    store = Store(f"sqlite:///{gone}", live_defaults=LiveSettings(), lineage="fake")
    writer = CaptureWriter(store)
    built = build_api(replace(deps, store=store, writer=writer))
    async with (
        built.router.lifespan_context(built),
        httpx.AsyncClient(transport=httpx.ASGITransport(built), base_url=LOCAL) as opened,
    ):
        yield opened
    writer.close()
    store.close()


@pytest.mark.parametrize("stream", [False, True])
async def test_chat_answers_and_says_that_it_is_not_collected(without: httpx.AsyncClient, stream: bool) -> None:
    answer = await without.post("/v1/chat/completions", json=ASK | {"stream": stream})

    assert answer.status_code == 200
    assert "cable" in answer.text
    assert answer.headers["x-whetstone-collected"] == "false"
    counted = (await without.get("/metrics")).text
    assert 'whetstone_replies_uncollected_total{reason="store_unavailable"} 1.0' in counted


async def test_the_chat_route_answers_too(without: httpx.AsyncClient) -> None:
    info = (await without.post("/chat", json={"message": "Hi"})).json()["mlops_info"]

    assert (info["collected"], info["total_collected"], info["reason"]) == (False, 0, "store_unavailable")
    assert (await without.post("/predict", json={"input": "Hi"})).json()["output"] == "Check the cable."


async def test_what_needs_the_store_says_when_to_come_back(without: httpx.AsyncClient, gone: Path) -> None:
    for path in ("status", "training-progress", "training-history", "conversations", "events", "settings"):
        answer = await without.get(f"/mlops/{path}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable"), path
        assert answer.headers["retry-after"]
        assert str(gone.parent) not in answer.text
    assert (await without.get("/health")).status_code == 200
    assert (await without.get("/ready")).status_code == 200
    assert not _exists(gone), "nobody makes an empty store by accident"


async def test_a_store_that_comes_back_is_used_again(without: httpx.AsyncClient, gone: Path, migrated: Path) -> None:
    await without.post("/v1/chat/completions", json=ASK)
    shutil.copy(migrated, gone)
    answer = await without.post("/v1/chat/completions", json=ASK)

    assert answer.headers["x-whetstone-collected"] == "true"
    assert (await without.get("/mlops/status")).json()["collector_stats"]["total_collected"] == 1


def _exists(path: Path) -> bool:
    return path.exists()
