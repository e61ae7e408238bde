"""The report of a version as a page, and the page of two of them side by side."""

from pathlib import Path

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from core.verdict import GateThresholds
from resources.comparison_page import comparison_of
from resources.report_page import page_of
from serve.error_docs import errors
from serve.model_schema import ModelPath
from serve.models_api import PREFIX, number
from serve.store_door import StoreDoor


def report_routes(door: StoreDoor, state_dir: Path, thresholds: GateThresholds) -> APIRouter:
    routes = APIRouter(prefix=PREFIX, tags=["Models"], responses=errors(401, 403, 404, 422, 503))

    @routes.get("/{id}/report", response_class=HTMLResponse)
    async def report(id: ModelPath) -> Response:
        """Its report as one page that needs no other file: the verdict, each check drawn, answers before and after."""
        return HTMLResponse(await door.ask(lambda store: page_of(store, state_dir, number(id))))

    @routes.get("/{id}/report/{other}", response_class=HTMLResponse, responses=errors(409))
    async def comparison(id: ModelPath, other: ModelPath) -> Response:
        """Two versions of one base as one page: on what both were measured on, by the statistics of the gate."""
        return HTMLResponse(
            await door.ask(lambda store: comparison_of(store, state_dir, number(id), number(other), thresholds))
        )

    return routes
