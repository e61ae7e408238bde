"""Alive, ready, and what Prometheus reads."""

import asyncio
from contextlib import suppress
from typing import Any

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from resources.store import StoreUnavailable
from serve.answering import Answering
from serve.engine_client import EngineClient, EngineUnavailable
from serve.error_docs import GUARDED, errors
from serve.figures import LOOP_STATES, progress
from serve.metrics import Metrics
from serve.store_door import StoreDoor

_READY_SECONDS = 5.0
_LOOK_SECONDS = 1.0  # a scrape does not wait for a store that is away


def health_routes(engine: EngineClient, answering: Answering, metrics: Metrics, door: StoreDoor) -> APIRouter:
    routes = APIRouter(tags=["Health"])

    @routes.get("/health")
    async def health() -> dict[str, str]:
        """The ingress is alive."""
        return {"status": "ok"}

    @routes.get("/ready", responses=errors(503))
    async def ready() -> dict[str, Any]:
        """The engine answers; 503 while it does not. `folded`: the version that answers as fast as the base."""
        try:
            async with asyncio.timeout(_READY_SECONDS):
                facts = await engine.ready()
        except TimeoutError:
            raise EngineUnavailable("no answer in time") from None
        return {
            "status": "ready",
            "production": answering.speakers.champion(),
            "base_model": facts.get("model"),
            "folded": facts.get("folded"),
        }

    @routes.get("/api/v1/circuit-breaker/status", responses=errors(*GUARDED))
    async def circuit_breakers() -> dict[str, Any]:
        """The circuit breaker of each model and the teacher: whether it is asked now, and when it is tried again."""
        return answering.speakers.circuits()

    @routes.get("/metrics", response_class=Response, responses=errors(*GUARDED))
    async def prometheus() -> Response:
        """Counts and durations of the ingress, and the state of the loop as far as the store tells it."""
        _look_at_models(answering, metrics)
        with suppress(EngineUnavailable, TimeoutError):
            async with asyncio.timeout(_LOOK_SECONDS):
                metrics.engine.set((await engine.ready()).get("unfinished", 0))
        with suppress(StoreUnavailable):
            _look_at_loop(await door.ask(progress, seconds=_LOOK_SECONDS), metrics)
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return routes


def _look_at_models(answering: Answering, metrics: Metrics) -> None:
    champion, swaps = answering.speakers.champion(), answering.speakers.swaps()
    metrics.circuits.clear()  # what is no longer watched is no longer told
    for name, circuit in answering.speakers.circuits().items():
        metrics.circuits.labels(name).set(("CLOSED", "HALF_OPEN", "OPEN").index(circuit["state"]))
    metrics.champion.set(0 if champion == "base" else int(champion[1:]))
    metrics.swaps.labels("done").set(swaps.done)
    metrics.swaps.labels("failed").set(swaps.failed)
    metrics.swap_seconds.set(swaps.seconds)


def _look_at_loop(found: dict[str, Any], metrics: Metrics) -> None:
    for state in LOOP_STATES:
        metrics.loop_state.labels(state).set(found["state"] == state)
    metrics.loop_waiting.set(found["new_data_count"])
