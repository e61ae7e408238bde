"""Versions as jobs: asked for, listed, stopped, resumed, cancelled, followed."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from core.wish import recipe_of
from resources.job_files import checkpoint_rows, log_lines
from resources.report_page import page_of
from resources.store import Store
from serve.bodies import body_as, documented, idempotency_key
from serve.error_docs import errors
from serve.job_schema import JobBody, JobsQuery, LogsQuery, ModelPath, ReasonBody
from serve.job_shapes import Bench, job_shape, metric_row
from serve.limits import IngressLimits
from serve.models_api import number
from serve.pages import page_shape
from serve.store_door import StoreDoor

PREFIX = "/api/v1/admin/finetuning/jobs"
_BODY = (400, 408, 413, 415, 422)


@dataclass(frozen=True)
class JobOffice:
    """What the routes stand on; `layers` of the base may be adapted, `gpus` None says that nobody counted them."""

    door: StoreDoor
    limits: IngressLimits
    bench: Bench
    state: Path
    layers: Collection[str] = field(default_factory=tuple)
    gpus: float | None = None


def job_routes(office: JobOffice) -> APIRouter:
    routes = APIRouter(prefix=PREFIX, tags=["Jobs"], responses=errors(401, 403, 503))
    _add_asking(routes, office)
    _add_reading(routes, office)
    _add_steering(routes, office)
    _add_following(routes, office)
    return routes


def _add_asking(routes: APIRouter, office: JobOffice) -> None:
    @routes.post("", status_code=201, openapi_extra=documented(JobBody), responses=errors(404, 409, *_BODY))
    async def ask(request: Request) -> Response:
        """Ask for a training on everything eligible, or on one upload; it begins when no other is unfinished.

        The answer waits for nothing, MLflow least of all. An `Idempotency-Key` asks once. 409 says what stands in the
        way: nothing new to train on, or another job that waits.
        """
        body = await body_as(JobBody, request, office.limits.body_bytes)
        key, bench = idempotency_key(request), office.bench
        usual = bench.make_recipe(bench.live())
        wish = body.wish(usual, bench.base_model, office.layers, office.gpus)
        recipe_of(wish.settings({}), bench.live(), bench.make_recipe)  # what does not fit together is said now
        return JSONResponse(await office.door.ask(lambda store: job_shape(store.jobs.ask(wish, key), bench)), 201)


def _add_reading(routes: APIRouter, office: JobOffice) -> None:
    @routes.get("", responses=errors(422))
    async def jobs(query: Annotated[JobsQuery, Query()]) -> dict[str, Any]:
        """Every job, newest first; `search` looks into names."""
        page, size = query.as_page()

        def work(store: Store) -> dict[str, Any]:
            found = store.jobs.page(page, size, status=query.status, search=query.search)
            return page_shape(found, lambda job: job_shape(job, office.bench))

        return await office.door.ask(work)

    @routes.get("/{id}", responses=errors(404, 422))
    async def job(id: ModelPath) -> dict[str, Any]:
        """One of them: how far it is, when it will be done, and what went wrong with what to do about it."""
        return await office.door.ask(lambda store: job_shape(store.jobs.get(number(id)), office.bench))


def _add_steering(routes: APIRouter, office: JobOffice) -> None:
    refusals = errors(404, 409, 422)

    @routes.post("/{id}/stop", responses=refusals)
    async def stop(id: ModelPath) -> dict[str, Any]:
        """Save a checkpoint at the next step and halt; conversations stay with the job."""
        return await office.door.ask(lambda store: job_shape(store.jobs.stop(number(id)), office.bench))

    @routes.post("/{id}/resume", responses=refusals)
    async def resume(id: ModelPath) -> dict[str, Any]:
        """Go on where it stopped: the same version, optimiser, schedule, order of the data, and MLflow run.

        One that waits for its next attempt begins it at once. One that failed for good is asked for anew.
        """
        return await office.door.ask(lambda store: job_shape(store.jobs.resume(number(id)), office.bench))

    @routes.post("/{id}/cancel", openapi_extra=documented(ReasonBody), responses=errors(404, 409, *_BODY))
    async def cancel(id: ModelPath, request: Request) -> dict[str, Any]:
        """Give it up for good; its conversations wait for the next version."""
        body = await body_as(ReasonBody, request, office.limits.body_bytes)
        reason = body.reason or "cancelled by a person"
        return await office.door.ask(lambda store: job_shape(store.jobs.cancel(number(id), reason), office.bench))


def _add_following(routes: APIRouter, office: JobOffice) -> None:
    @routes.get("/{id}/logs", responses=errors(404, 422))
    async def logs(id: ModelPath, query: Annotated[LogsQuery, Query()]) -> dict[str, Any]:
        """The last lines of its trainer, oldest first."""

        def work(store: Store) -> dict[str, Any]:
            n = store.jobs.get(number(id)).n
            return {"job_id": n, "lines": log_lines(office.state, n, query.tail)}

        return await office.door.ask(work)

    @routes.get("/{id}/metrics", responses=errors(404, 422))
    async def metrics(id: ModelPath) -> list[dict[str, Any]]:
        """Its curve, a point a second at most."""

        def work(store: Store) -> list[dict[str, Any]]:
            job = store.jobs.get(number(id))
            epochs = office.bench.recipe(job).epochs
            return [metric_row(report, epochs) for report in store.progress.curve(job.n)]

        return await office.door.ask(work)

    @routes.get("/{id}/checkpoints", responses=errors(404, 422))
    async def checkpoints(id: ModelPath) -> list[dict[str, Any]]:
        """What it could go on from, newest first; of a training that is through, what was kept to its end.

        None where it ended before the first was due.
        """
        return await office.door.ask(lambda store: checkpoint_rows(office.state, store.jobs.get(number(id)).n))

    @routes.get("/{id}/report", response_class=HTMLResponse, responses=errors(404, 422))
    async def report(id: ModelPath) -> Response:
        """The page of its evaluation, once it is judged."""
        return HTMLResponse(await office.door.ask(lambda store: page_of(store, office.state, number(id))))
