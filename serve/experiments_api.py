"""Experiments between models: made, watched, read and ended."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from core.assignment import unit_of
from core.experiment_results import Results
from core.experiments import Design
from resources.experiments import Experiment, Log, Served
from resources.store import NotAllowed, Store
from serve.bodies import body_as, documented
from serve.error_docs import STORED, errors
from serve.errors import ApiError
from serve.experiment_page import page_of
from serve.experiment_schema import (
    AssignQuery,
    ConcludeBody,
    ExperimentBody,
    ExperimentPatch,
    ExperimentsQuery,
    LogBody,
    LogsQuery,
    StopBody,
)
from serve.experiment_shapes import experiment_row, log_row
from serve.limits import IngressLimits
from serve.pages import page_shape
from serve.single_flight import SingleFlight
from serve.store_door import StoreDoor

PREFIX = "/api/v1/admin/ab-tests"
BY = "the admin API"


@dataclass(frozen=True)
class ModelsOnHand:
    """Every name that can answer now, and how many versions the engine holds at once."""

    names: Callable[[], list[str]]
    places: int


def experiment_routes(door: StoreDoor, limits: IngressLimits, on_hand: ModelsOnHand) -> APIRouter:
    routes = APIRouter(prefix=PREFIX, tags=["Experiments"], responses=errors(*STORED, 404, 409))
    _add_making(routes, door, limits, on_hand)
    _add_serving(routes, door, limits)
    _add_reading(routes, door)
    _add_ending(routes, door, limits, on_hand)
    return routes


def _add_making(routes: APIRouter, door: StoreDoor, limits: IngressLimits, on_hand: ModelsOnHand) -> None:
    @routes.post("", status_code=201, openapi_extra=documented(ExperimentBody))
    async def make(request: Request) -> Response:
        """Share `production` out between models; at most one runs. An integer is a version's number."""
        body = await body_as(ExperimentBody, request, limits.body_bytes)
        design = body.design()
        made = await door.ask(lambda store: _make(store, design, on_hand, start=body.status == "running"))
        return JSONResponse(experiment_row(made), 201)

    @routes.get("")
    async def experiments(query: Annotated[ExperimentsQuery, Query()]) -> dict[str, Any]:
        """All experiments, newest first."""
        number, size = query.as_page()
        page = await door.ask(
            lambda store: store.experiments.page(number, size, status=query.status, search=query.search)
        )
        return page_shape(page, experiment_row)

    @routes.get("/{id}")
    async def experiment(id: int) -> dict[str, Any]:
        """One of them."""
        return experiment_row(await door.ask(lambda store: store.experiments.get(_number(id))))

    @routes.patch("/{id}", openapi_extra=documented(ExperimentPatch))
    async def change(id: int, request: Request) -> dict[str, Any]:
        """Ramp the coverage up, describe it, start a draft. Shares never change: they would move users between arms."""
        body = await body_as(ExperimentPatch, request, limits.body_bytes)
        if body.traffic_split is not None or body.arms is not None:
            message = "Expected the shares to stay: others would move users between arms. Stop it and make a new one"
            raise ApiError(409, message, param="traffic_split", code="not_allowed")
        if body.model_dump(exclude_none=True) == {}:
            raise ApiError(422, "the body: expected something to change, found nothing", code="invalid_value")
        return experiment_row(await door.ask(lambda store: _change(store, _number(id), body, on_hand)))


def _add_serving(routes: APIRouter, door: StoreDoor, limits: IngressLimits) -> None:
    @routes.post("/{id}/assign-variant")
    async def assign(id: int, query: Annotated[AssignQuery, Query()]) -> dict[str, Any]:
        """The variant of a user, the same at every call and for `production`; null where coverage leaves them out."""
        unit = unit_of(query.user_id, query.session_id, None)
        if unit is None:
            raise ApiError(422, "Expected user_id or session_id, found neither", param="user_id", code="invalid_value")
        return {"variant": await door.ask(lambda store: _assign(store, _number(id), unit, query))}

    @routes.post("/{id}/logs", status_code=201, openapi_extra=documented(LogBody))
    async def log(id: int, request: Request) -> Response:
        """One reply that another program gave, with its rating. Replies of `production` are noted by themselves."""
        body = await body_as(LogBody, request, limits.body_bytes)
        return JSONResponse(log_row(await door.ask(lambda store: _log(store, _number(id), body))), 201)

    @routes.get("/{id}/logs")
    async def logs(id: int, query: Annotated[LogsQuery, Query()]) -> dict[str, Any]:
        """Its replies, newest first."""
        number, size = query.as_page()
        page = await door.ask(lambda store: store.experiments.logs(_number(id), number, size))
        return page_shape(page, log_row)


def _add_reading(routes: APIRouter, door: StoreDoor) -> None:
    looks = SingleFlight[tuple[Experiment, Results]]()

    async def look(id: int) -> tuple[Experiment, Results]:
        """Seconds of work over many replies: everybody who asks meanwhile waits for the same one."""
        return await looks.do(id, lambda: door.ask(lambda store: store.experiments.results(_number(id))))

    @routes.get("/{id}/results")
    async def results(id: int, request: Request) -> Response:
        """What it says so far, or said at its end; with `Accept: text/html` as a page."""
        found, said = await look(id)
        if "text/html" in request.headers.get("accept", ""):
            return HTMLResponse(page_of(found, said))
        return JSONResponse({"experiment_id": found.id, "status": found.status, **said.model_dump(mode="json")})

    @routes.get("/{id}/results.html", response_class=HTMLResponse)
    async def results_page(id: int) -> Response:
        """The same as a page, with its intervals drawn."""
        return HTMLResponse(page_of(*await look(id)))

    @routes.get("/{id}/monitoring")
    async def monitoring(id: int) -> dict[str, Any]:
        """Counts, the split seen, and the guardrails as they stand."""
        found, said = await look(id)
        return {
            "experiment_id": found.id,
            "status": found.status,
            "coverage": found.design.coverage,
            "samples": {variant.name: variant.samples for variant in said.variants},
            "rated": {variant.name: variant.rated for variant in said.variants},
            "split": said.split.model_dump(mode="json"),
            "guardrails": [harm.model_dump(mode="json") for harm in said.guardrails],
            "progress": min(1.0, said.looks.fraction),
            "days": said.days,
            "needs_more": said.needs_more.model_dump(mode="json"),
        }


def _add_ending(routes: APIRouter, door: StoreDoor, limits: IngressLimits, on_hand: ModelsOnHand) -> None:
    @routes.post("/{id}/stop", openapi_extra=documented(StopBody))
    async def stop(id: int, request: Request) -> dict[str, Any]:
        """End it without a winner; the champion answers everybody again."""
        body = await body_as(StopBody, request, limits.body_bytes)
        return experiment_row(await door.ask(lambda store: store.experiments.stop(_number(id), body.reason, BY)))

    @routes.post("/{id}/conclude", openapi_extra=documented(ConcludeBody))
    async def conclude(id: int, request: Request) -> dict[str, Any]:
        """End it with a winner, who becomes champion where the results say so or a reason does."""
        body = await body_as(ConcludeBody, request, limits.body_bytes)

        def work(store: Store) -> dict[str, Any]:
            _check_variant(store.experiments.get(_number(id)), body.winner, "winner")
            done = store.experiments.conclude(_number(id), body.winner, body.reason, BY, on_hand.names())
            said = done.experiment.results
            return {
                **experiment_row(done.experiment),
                "message": done.message,
                "results": said.model_dump(mode="json") if said else None,
            }

        return await door.ask(work)


def _make(store: Store, design: Design, on_hand: ModelsOnHand, *, start: bool) -> Experiment:
    _check_on_hand(store, design, on_hand)
    return store.experiments.add(design, start=start)


def _change(store: Store, id: int, body: ExperimentPatch, on_hand: ModelsOnHand) -> Experiment:
    start = body.status == "running"
    if start and (found := store.experiments.get(id)).status == "draft":
        _check_on_hand(store, found.design, on_hand)
    return store.experiments.change(id, coverage=body.coverage, description=body.description, start=start)


def _check_on_hand(store: Store, design: Design, on_hand: ModelsOnHand) -> None:
    known = on_hand.names()
    for arm in design.arms:
        if arm.model == "teacher" and "teacher" not in known:
            raise NotAllowed("Expected a configured teacher, found none: set OPENAI_API_KEY or OPENAI_BASE_URL")
        if arm.model == "agent" and "agent" not in known:
            raise NotAllowed("Expected an agent for one arm, found it switched off: set AGENT_ENABLED=true")
        if arm.model == "teacher" and store.settings.get().answer_with == "student":
            found = "found student, with which no message leaves for another machine"
            raise NotAllowed(f"Expected answer_with to be auto or teacher for an arm of the teacher, {found}")
        if arm.version is None or arm.model in known:
            continue
        if store.versions.get(arm.version).state == "promoted":  # of any other the store says what is wrong
            raise NotAllowed(f"Expected the adapter of {arm.model} on disk, found none: it was removed by now")
    champion = store.champion.get()
    needed = {arm.version for arm in design.arms} | {champion.n, champion.previous, *store.deployments.pinned()}
    if len(needed - {None}) > on_hand.places:
        names = ", ".join(f"v{n}" for n in sorted(n for n in needed if n is not None))
        message = f"Expected at most {on_hand.places} versions in the engine at once, found {names}"
        raise NotAllowed(f"{message}: raise ENGINE_ADAPTERS, take fewer arms or unpin one")


def _assign(store: Store, id: int, unit: str, query: AssignQuery) -> str | None:
    experiment = store.experiments.get(id)
    arm = experiment.assigned(unit)
    if arm is None and experiment.running:
        return None
    return store.experiments.assign(id, Served(id, unit, arm or "", user_id=query.user_id, session_id=query.session_id))


def _log(store: Store, id: int, body: LogBody) -> Log:
    _check_variant(store.experiments.get(id), body.variant, "variant")
    unit = unit_of(body.user_id, body.session_id, None)
    return store.experiments.log(
        Served(
            id,
            unit or "",
            body.variant,
            user_id=body.user_id,
            session_id=body.session_id,
            query=body.query,
            response=body.response,
            seconds=body.response_time_ms / 1000,
            length=len(body.response.strip()),
            rating=body.user_rating,
            comment=body.user_feedback,
        )
    )


def _check_variant(experiment: Experiment, name: str, param: str) -> None:
    if experiment.design.arm(name) is None:
        known = ", ".join(arm.name for arm in experiment.design.arms)
        raise ApiError(422, f"{param}: expected one of {known}, found another", param=param, code="unknown_variant")


def _number(id: int) -> int:
    """A number that a database can look for."""
    return id if 0 < id < 2**63 else 0
