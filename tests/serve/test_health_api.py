"""Alive, ready, measured, documented, and nothing else open."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from serve import docs_page
from serve.engine_client import EngineUnavailable
from tests.fakes import FakeEngine, FakeFollower

pytestmark = pytest.mark.anyio

ROUTES = {
    "POST /v1/chat/completions",
    "GET /v1/models",
    "GET /v1/models/{name}",
    "POST /v1/feedback",
    "POST /chat",
    "POST /predict",
    "POST /invoke",
    "GET /mlops/status",
    "POST /mlops/finetune",
    "GET /mlops/training-progress",
    "GET /mlops/training-history",
    "GET /mlops/conversations",
    "POST /mlops/conversations",
    "DELETE /mlops/conversations",
    "GET /mlops/events",
    "GET /mlops/settings",
    "POST /mlops/settings",
    "POST /api/v1/admin/training/datasets",
    "GET /api/v1/admin/training/datasets",
    "GET /api/v1/admin/training/datasets/{id}",
    "PATCH /api/v1/admin/training/datasets/{id}",
    "DELETE /api/v1/admin/training/datasets/{id}",
    "GET /api/v1/admin/training/datasets/{id}/stats",
    "GET /api/v1/admin/training/datasets/{id}/statistics",
    "POST /api/v1/admin/training/datasets/{id}/validate",
    "GET /api/v1/admin/training/datasets/{id}/findings",
    "POST /api/v1/admin/training/datasets/{id}/preprocess",
    "GET /api/v1/admin/training/datasets/{id}/download",
    "POST /api/v1/admin/training/datasets/{id}/split",
    "POST /api/v1/admin/training/datasets/{id}/ingest",
    "GET /api/v1/admin/review",
    "GET /api/v1/admin/review/{conversation_id}",
    "PATCH /api/v1/admin/review/{conversation_id}",
    "POST /api/v1/admin/review/{conversation_id}/release",
    "POST /api/v1/admin/review/{conversation_id}/dismiss",
    "POST /api/v1/admin/ab-tests",
    "GET /api/v1/admin/ab-tests",
    "GET /api/v1/admin/ab-tests/{id}",
    "PATCH /api/v1/admin/ab-tests/{id}",
    "POST /api/v1/admin/ab-tests/{id}/assign-variant",
    "POST /api/v1/admin/ab-tests/{id}/logs",
    "GET /api/v1/admin/ab-tests/{id}/logs",
    "GET /api/v1/admin/ab-tests/{id}/results",
    "GET /api/v1/admin/ab-tests/{id}/results.html",
    "GET /api/v1/admin/ab-tests/{id}/monitoring",
    "POST /api/v1/admin/ab-tests/{id}/stop",
    "POST /api/v1/admin/ab-tests/{id}/conclude",
    "GET /api/v1/admin/models",
    "GET /api/v1/admin/models/{id}",
    "GET /api/v1/admin/models/{id}/benchmarks",
    "GET /api/v1/admin/models/{id}/lineage",
    "POST /api/v1/admin/models/base/rollback",
    "POST /api/v1/admin/models/compare",
    "POST /api/v1/admin/models/register",
    "POST /api/v1/admin/finetuning/jobs",
    "GET /api/v1/admin/finetuning/jobs",
    "GET /api/v1/admin/finetuning/jobs/{id}",
    "POST /api/v1/admin/finetuning/jobs/{id}/stop",
    "POST /api/v1/admin/finetuning/jobs/{id}/resume",
    "POST /api/v1/admin/finetuning/jobs/{id}/cancel",
    "GET /api/v1/admin/finetuning/jobs/{id}/logs",
    "GET /api/v1/admin/finetuning/jobs/{id}/metrics",
    "GET /api/v1/admin/finetuning/jobs/{id}/checkpoints",
    "GET /api/v1/admin/finetuning/jobs/{id}/report",
    "GET /api/v1/admin/models/{id}/evaluations",
    "GET /api/v1/admin/models/{id}/evaluations/{evaluation}",
    "GET /api/v1/admin/models/{id}/evaluations/{evaluation}/report.html",
    "POST /api/v1/admin/models/{id}/evaluate",
    "GET /api/v1/admin/models/{id}/report",
    "GET /api/v1/admin/models/{id}/report/{other}",
    "POST /api/v1/admin/models/{id}/archive",
    "POST /api/v1/admin/models/{id}/benchmarks",
    "POST /api/v1/admin/models/{id}/deploy",
    "POST /api/v1/admin/models/{id}/promote",
    "POST /api/v1/admin/models/{id}/rollback",
    "GET /api/v1/circuit-breaker/status",
    "GET /health",
    "GET /ready",
    "GET /metrics",
}


async def test_these_routes_and_no_others(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]

    assert {f"{method.upper()} {path}" for path, routes in paths.items() for method in routes} == ROUTES


async def test_alive_and_ready(client: httpx.AsyncClient, engine: FakeEngine, follower: FakeFollower) -> None:
    follower.current = "v2"
    assert (await client.get("/health")).json() == {"status": "ok"}
    facts = {"status": "ready", "production": "v2", "base_model": "fake", "folded": None}
    assert (await client.get("/ready")).json() == facts

    engine.is_ready, engine.raises = False, EngineUnavailable("starting")
    answer = await client.get("/ready")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "engine_unavailable")
    assert (await client.get("/health")).status_code == 200


async def test_metrics_count_requests_by_route_and_replies_by_model(
    client: httpx.AsyncClient, follower: FakeFollower
) -> None:
    follower.current = "v2"
    await client.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "Hi"}]})
    await client.get("/v1/models/v1")
    await client.get("/made/up/nowhere-to-be-found")
    text = (await client.get("/metrics")).text

    assert 'whetstone_http_requests_total{method="POST",route="/v1/chat/completions",status="200"} 1.0' in text
    assert 'route="/v1/models/{name}"' in text
    assert "nowhere-to-be-found" not in text, "a client must not make label values"
    assert 'whetstone_replies_total{model="v2",outcome="completed"} 1.0' in text
    assert "whetstone_champion_version 2.0" in text


async def test_the_api_page_needs_no_other_host(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")

    assert page.status_code == 200
    assert "http://" not in page.text
    assert "https://" not in page.text
    for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
        if name in page.text:
            assert (await client.get(f"/docs/static/{name}")).status_code == 200


async def test_without_swagger_the_page_lists_the_routes(api: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    page = docs_page.plain_page(api)

    assert all(route.split()[1] in page for route in ROUTES)
    assert "http" not in page.replace("http-equiv", "")


async def test_an_unforeseen_error_tells_nothing(
    client: httpx.AsyncClient, engine: FakeEngine, caplog: pytest.LogCaptureFixture, changes: Any
) -> None:
    engine.raises = RuntimeError("database password is hunter2")
    answer = await client.post("/chat", json={"message": "Hi"})

    assert answer.status_code == 500
    assert "hunter2" not in answer.text
    assert "Traceback" not in answer.text
    assert "RuntimeError" in caplog.text, "the log tells it"
