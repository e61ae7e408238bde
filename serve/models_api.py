"""Versions as models: registered, listed, promoted, rolled back, scored, compared, traced."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, Response

from resources.models import Model, Registration, Wanted
from resources.store import NotAllowed, Store
from serve import deploying, model_moves
from serve.bodies import body_as, documented, idempotency_key
from serve.deployment_plan import DeploymentPlan
from serve.engine_client import EngineClient
from serve.error_docs import errors
from serve.limits import IngressLimits
from serve.model_schema import (
    BenchmarkBody,
    BenchmarksQuery,
    CompareBody,
    DeployBody,
    ModelPath,
    ModelsQuery,
    PromoteBody,
    ReasonBody,
    RegisterBody,
)
from serve.model_shapes import Shelf, benchmark_row, comparison, lineage_row, model_details, model_row
from serve.pages import page_shape
from serve.store_door import StoreDoor

PREFIX = "/api/v1/admin/models"
_BODY = (400, 408, 413, 415, 422)


@dataclass(frozen=True)
class ModelShop:
    """What the routes stand on; `names` is every model that can answer now."""

    door: StoreDoor
    limits: IngressLimits
    shelf: Shelf
    names: Callable[[], list[str]]
    engine: EngineClient
    places: int
    plan: DeploymentPlan | None


def model_routes(shop: ModelShop) -> APIRouter:
    routes = APIRouter(prefix=PREFIX, tags=["Models"], responses=errors(401, 403, 503))
    _add_registering(routes, shop)
    _add_reading(routes, shop)
    _add_moving(routes, shop)
    _add_deploying(routes, shop)
    _add_scoring(routes, shop)
    return routes


def _add_registering(routes: APIRouter, shop: ModelShop) -> None:
    @routes.post(
        "/register", status_code=201, openapi_extra=documented(RegisterBody), responses=errors(404, 409, *_BODY)
    )
    async def register(request: Request) -> Response:
        """Name what a finished job made. Again under the same name it only sets the tags."""
        body = await body_as(RegisterBody, request, shop.limits.body_bytes)
        named = Registration(
            body.job_id, body.model_name, body.version or body.native, shop.shelf.base_model, tuple(body.tags)
        )
        return JSONResponse(await shop.door.ask(lambda s: model_row(s.models.register(named), shop.shelf)), 201)


def _add_reading(routes: APIRouter, shop: ModelShop) -> None:
    @routes.get("", responses=errors(422))
    async def models(query: Annotated[ModelsQuery, Query()]) -> dict[str, Any]:
        """Every trained version, newest first; one of `tags=a,b` must be there, with `match_all` each."""
        page_number, size = query.as_page()
        wanted = _wanted(query, shop.shelf)

        def work(store: Store) -> dict[str, Any]:
            page = store.models.page(wanted, page_number, size)
            return page_shape(page, lambda model: model_row(model, shop.shelf))

        return await shop.door.ask(work)

    @routes.post("/compare", openapi_extra=documented(CompareBody), responses=errors(404, 409, *_BODY))
    async def compare(request: Request) -> dict[str, Any]:
        """The newest scores of some models side by side; models of two bases are not compared."""
        body = await body_as(CompareBody, request, shop.limits.body_bytes)

        def work(store: Store) -> dict[str, Any]:
            found, scores = store.models.compared(body.model_ids, body.benchmark_name)
            _check_one_base(found)
            return comparison(found, scores, shop.shelf)

        return await shop.door.ask(work)

    @routes.get("/{id}", responses=errors(404, 422))
    async def model(id: ModelPath) -> dict[str, Any]:
        """One of them, with the reasons of its verdict and its newest scores."""
        return await shop.door.ask(lambda store: _details(store, number(id), shop.shelf))

    @routes.get("/{id}/lineage", responses=errors(404, 422))
    async def lineage(id: ModelPath) -> dict[str, Any]:
        """Where it comes from: base, start, data, experiments; and whom it replaced, or who it, when and why."""
        return await shop.door.ask(lambda store: lineage_row(store.models.ancestry(number(id)), shop.shelf))


def _add_moving(routes: APIRouter, shop: ModelShop) -> None:
    refusals = errors(404, 409, *_BODY)

    @routes.post("/{id}/promote", openapi_extra=documented(PromoteBody), responses=refusals)
    async def promote(id: ModelPath, request: Request) -> dict[str, Any]:
        """Let a version at staging answer as `production`, or with `force` and a `reason` one that its gate rejected.

        The engine and the alias in MLflow follow within seconds. `target: archived` is the route `archive`.
        """
        body = await body_as(PromoteBody, request, shop.limits.body_bytes)
        if body.target == "archived":
            return await shop.door.ask(lambda store: model_moves.archive(store, number(id), body.reason, shop.shelf))
        names = shop.names()
        return await shop.door.ask(lambda store: model_moves.promote(store, number(id), body, names, shop.shelf))

    @routes.post("/{id}/archive", openapi_extra=documented(ReasonBody), responses=refusals)
    async def archive(id: ModelPath, request: Request) -> dict[str, Any]:
        """A version that waits at staging waits no longer. What answers is replaced first."""
        body = await body_as(ReasonBody, request, shop.limits.body_bytes)
        return await shop.door.ask(lambda store: model_moves.archive(store, number(id), body.reason, shop.shelf))

    @routes.post("/base/rollback", openapi_extra=documented(ReasonBody), responses=errors(*_BODY))
    async def roll_back_to_base(request: Request) -> dict[str, Any]:
        """Let the base answer as `production`, without any version."""
        body = await body_as(ReasonBody, request, shop.limits.body_bytes)
        return await shop.door.ask(lambda store: model_moves.roll_back_to_base(store, body.reason))

    @routes.post("/{id}/rollback", openapi_extra=documented(ReasonBody), responses=refusals)
    async def roll_back(id: ModelPath, request: Request) -> dict[str, Any]:
        """Go back to this version: archived, it answers as `production` again. `base` for none."""
        body, names = await body_as(ReasonBody, request, shop.limits.body_bytes), shop.names()
        return await shop.door.ask(
            lambda store: model_moves.roll_back(store, number(id), body.reason, names, shop.shelf)
        )


def _add_deploying(routes: APIRouter, shop: ModelShop) -> None:
    @routes.post("/{id}/deploy", openapi_extra=documented(DeployBody), responses=errors(404, 409, *_BODY))
    async def deploy(id: ModelPath, request: Request) -> dict[str, Any]:
        """`pinned` holds a version in every engine, at once; replicas and shares of a GPU wait for the next start.

        They are of the engines, which all versions share, and are held against the GPUs that are there. null: as set.
        """
        body = await body_as(DeployBody, request, shop.limits.body_bytes)
        names, places = shop.names(), shop.places
        told = await shop.door.ask(
            lambda store: deploying.deploy(store, number(id), body, names, places, shop.shelf, shop.plan)
        )
        return {**told, "resident": await deploying.resident(shop.engine, id)}


def _add_scoring(routes: APIRouter, shop: ModelShop) -> None:
    @routes.post(
        "/{id}/benchmarks",
        status_code=201,
        openapi_extra=documented(BenchmarkBody),
        responses=errors(404, 409, *_BODY),
    )
    async def add_benchmark(id: ModelPath, request: Request) -> Response:
        """Keep a score in [0, 1] that was measured elsewhere; an `Idempotency-Key` keeps it once."""
        body = await body_as(BenchmarkBody, request, shop.limits.body_bytes)
        key = idempotency_key(request)
        made = await shop.door.ask(
            lambda store: store.models.add_benchmark(
                number(id), body.benchmark_name, float(body.score), body.details, key
            )
        )
        return JSONResponse(benchmark_row(made), 201)

    @routes.get("/{id}/benchmarks", responses=errors(404, 422))
    async def benchmarks(id: ModelPath, query: Annotated[BenchmarksQuery, Query()]) -> dict[str, Any]:
        """Its scores, newest first."""
        page_number, size = query.as_page()
        page = await shop.door.ask(
            lambda store: store.models.benchmarks(number(id), page_number, size, name=query.benchmark_name)
        )
        return page_shape(page, benchmark_row)


def _wanted(query: ModelsQuery, shelf: Shelf) -> Wanted:
    here = (shelf.lineage,) if query.base_model == shelf.base_model else ()
    return Wanted(
        shelf.unnamed,
        status=query.status,
        base_model=query.base_model,
        base_fingerprints=(query.base_model, *here) if query.base_model else (),
        tags=tuple(sorted(set(query.tags or ()))),
        match_all=query.match_all,
        search=query.search,
    )


def _details(store: Store, n: int, shelf: Shelf) -> dict[str, Any]:
    [model], scores = store.models.compared([n])
    return model_details(model, store.versions.get(n).verdict, scores, shelf)


def _check_one_base(models: list[Model]) -> None:
    bases = {model.base_fingerprint: model.n for model in models}
    if len(bases) > 1:
        names = " and ".join(f"v{n}" for n in sorted(bases.values()))
        raise NotAllowed(f"Expected models of one base, found {names} of different ones: compare those of one base")


def number(id: ModelPath) -> int:
    """A number that a database can look for."""
    return id if 0 < id < 2**31 else 0
