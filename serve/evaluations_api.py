"""Versions evaluated again: asked for, followed, and read."""

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from core.manifest import MANIFEST_NAME
from resources import trained
from resources.evaluations import Again
from resources.report_page import HTML_PAGE
from resources.store import NotFound, Store
from serve.bodies import body_as, documented, idempotency_key
from serve.error_docs import errors
from serve.limits import IngressLimits
from serve.model_schema import EvaluateBody, ModelPath
from serve.model_shapes import evaluation_row
from serve.models_api import PREFIX, number
from serve.pages import page_shape
from serve.schema import Paged
from serve.store_door import StoreDoor


def evaluation_routes(door: StoreDoor, limits: IngressLimits, state_dir: Path) -> APIRouter:
    routes = APIRouter(prefix=PREFIX, tags=["Models"], responses=errors(401, 403, 404, 422, 503))

    @routes.post(
        "/{id}/evaluate",
        status_code=202,
        openapi_extra=documented(EvaluateBody),
        responses=errors(400, 408, 409, 413, 415),
    )
    async def evaluate(id: ModelPath, request: Request) -> Response:
        """Measure a version again, by the gate: against the champion of that moment, the champion against the base.

        With the golden set `dataset_id`, or all of them. It waits until nothing trains, its result is kept and stands
        on the version's page, and it moves nothing. An `Idempotency-Key` asks for it once.
        """
        body = await body_as(EvaluateBody, request, limits.body_bytes)
        key = idempotency_key(request)

        def ask(store: Store) -> Again:
            version = store.versions.get(number(id))
            there = (trained.folder_of(state_dir, version.n, version.method) / MANIFEST_NAME).is_file()
            metrics = list(dict.fromkeys(body.metrics))
            return store.evaluations.ask(version.n, body.dataset_id, metrics, key, adapter_there=there)

        return JSONResponse(evaluation_row(await door.ask(ask)), 202)

    @routes.get("/{id}/evaluations")
    async def evaluations(id: ModelPath, query: Annotated[Paged, Query()]) -> dict[str, Any]:
        """What was evaluated again, newest first."""
        page_number, size = query.as_page()
        page = await door.ask(lambda store: store.evaluations.of_model(number(id), page_number, size))
        return page_shape(page, evaluation_row)

    @routes.get("/{id}/evaluations/{evaluation}")
    async def evaluation(id: ModelPath, evaluation: int) -> dict[str, Any]:
        """One of them: how far it is, or what came of it."""
        return evaluation_row(await door.ask(lambda store: _of(store, id, evaluation)))

    @routes.get("/{id}/evaluations/{evaluation}/report.html", response_class=HTMLResponse)
    async def report(id: ModelPath, evaluation: int) -> Response:
        """Its page, like that of the verdict."""
        return HTMLResponse(await door.ask(lambda store: _page(_of(store, id, evaluation), state_dir)))

    return routes


def _of(store: Store, id: int, evaluation: int) -> Again:
    found = store.evaluations.get(number(evaluation))
    if found.n != id:
        raise NotFound(f"Expected an evaluation {evaluation} of v{id}, found none")
    return found


def _page(found: Again, state_dir: Path) -> str:
    path = state_dir / "reports" / f"v{found.n}" / "evaluations" / str(found.id) / HTML_PAGE
    if found.state != "done" or not path.is_file():
        raise NotFound(f"Expected the page of evaluation {found.id}, found none: it is written when that is done")
    return path.read_text(encoding="utf-8")
