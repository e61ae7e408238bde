"""Alive, ready, and what Prometheus reads."""

import asyncio
from typing import Any

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from serve.answering import Answering
from serve.engine_client import EngineClient, EngineUnavailable
from serve.error_docs import GUARDED, errors
from serve.metrics import Metrics

_READY_SECONDS = 5.0


def health_routes(engine: EngineClient, answering: Answering, metrics: Metrics) -> APIRouter:
    routes = APIRouter(tags=["Health"])

    @routes.get("/health")
    async def health() -> dict[str, str]:
        """The ingress is alive."""
        return {"status": "ok"}

    @routes.get("/ready", responses=errors(503))
    async def ready() -> dict[str, Any]:
        """The engine answers; 503 while it does not."""
        try:
            async with asyncio.timeout(_READY_SECONDS):
                facts = await engine.ready()
        except TimeoutError:
            raise EngineUnavailable("no answer in time") from None
        return {"status": "ready", "production": answering.champion(), "base_model": facts.get("model")}

    @routes.get("/api/v1/circuit-breaker/status", responses=errors(*GUARDED))
    async def circuit_breakers() -> dict[str, Any]:
        """The circuit breaker of each model and the teacher: whether it is asked now, and when it is tried again."""
        return answering.circuits()

    @routes.get("/metrics", response_class=Response, responses=errors(*GUARDED))
    async def prometheus() -> Response:
        """Counts and durations of the ingress."""
        champion = answering.champion()
        metrics.circuits.clear()  # what is no longer watched is no longer told
        for name, circuit in answering.circuits().items():
            metrics.circuits.labels(name).set(("CLOSED", "HALF_OPEN", "OPEN").index(circuit["state"]))
        metrics.champion.set(0 if champion == "base" else int(champion[1:]))
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return routes
