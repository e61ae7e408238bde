"""The whole HTTP face in one FastAPI app, without Ray, vLLM, torch or MLflow."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from core.live_settings import LiveSettings
from core.recipe import Recipe
from core.verdict import GateThresholds
from resources.recognisers import DataRecogniser
from resources.store import Store
from resources.upload_files import UploadFiles
from serve.answering import Answering
from serve.auth import Keys
from serve.chat_api import chat_routes
from serve.conversations_api import conversation_routes
from serve.dataset_jobs import DatasetJobs, Worker
from serve.dataset_work_api import Work, dataset_work_routes
from serve.datasets_api import dataset_routes
from serve.deployment_plan import DeploymentPlan
from serve.docs_page import add_docs
from serve.edge import Edge
from serve.engine_client import EngineClient
from serve.errors import answer
from serve.evaluations_api import evaluation_routes
from serve.experiment_follower import ExperimentFollower
from serve.experiments_api import ModelsOnHand, experiment_routes
from serve.features import FeatureLookUp, Features
from serve.guarded import Chats
from serve.health_api import health_routes
from serve.job_shapes import Bench
from serve.jobs_api import JobOffice, job_routes
from serve.keeper import Keeper, Writer
from serve.limits import Gate, IngressLimits
from serve.listener import Listener
from serve.live_view import LiveView
from serve.loop_api import loop_routes
from serve.metrics import Metrics
from serve.model_shapes import Shelf
from serve.models_api import ModelShop, model_routes
from serve.openai_api import openai_routes
from serve.report_api import report_routes
from serve.review_api import review_routes
from serve.served_log import ServedLog
from serve.speakers import Follower
from serve.store_door import StoreDoor
from serve.teacher import Teacher
from serve.wrapper_api import Predicts, wrapper_routes
from wrappers.lora import Complete


@dataclass(frozen=True)
class IngressDeps:
    """Everything the routes stand on; tests put doubles here."""

    engine: EngineClient
    store: Store
    writer: Writer
    follower: Follower
    live: LiveSettings
    backups: Path
    uploads: Path
    make_wrapper: Callable[[Complete], Predicts] | None
    limits: IngressLimits = field(default_factory=IngressLimits)
    keys: Keys = field(default_factory=Keys)
    teacher: Teacher | None = None
    agent: Chats | None = None
    features: FeatureLookUp | None = None
    stage: str = "Production"
    experiments: ExperimentFollower | None = None
    engine_adapters: int = 3
    look_seconds: float = 1.0
    base_model: str = ""
    tokenizer: str = ""
    adapters: Path = Path("var/adapters")
    state_dir: Path = Path("var")
    make_recipe: Callable[[LiveSettings], Recipe] = lambda live: Recipe()
    layers: Collection[str] = ()
    thresholds: GateThresholds = field(default_factory=GateThresholds)
    model_name: str = "whetstone"
    plan: DeploymentPlan | None = None
    max_tokens: int = 2048
    recogniser: DataRecogniser = "none"
    worker: Worker | None = None
    forget: Callable[[str], object] | None = None
    listener: Listener | None = None


def build_api(deps: IngressDeps) -> FastAPI:
    """Wire the routes to what they stand on."""
    metrics, limits = Metrics(), deps.limits
    door, files, jobs = StoreDoor(deps.store, limits.store_seconds), UploadFiles(deps.uploads), DatasetJobs(deps.worker)
    url = deps.store.database.url.render_as_string(hide_password=False)
    work = Work(door, files, jobs, limits, url, deps.base_model, deps.tokenizer, deps.max_tokens, deps.recogniser)
    live = LiveView(door, deps.live, deps.look_seconds)
    gate = Gate("chats", limits.running_chats)
    metrics.chats.set_function(lambda: gate.taken)
    known = Features(deps.features, metrics, limits.feature_seconds)
    metrics.waiting.set_function(lambda: answering.waiting)
    metrics.captures_waiting.set_function(lambda: deps.writer.waiting)
    served = ServedLog(door, metrics, deps.look_seconds)
    answering = Answering(
        deps.engine,
        deps.follower,
        Keeper(deps.writer, limits.capture_seconds, metrics),
        live,
        metrics,
        gate,
        limits.deadlines,
        deps.teacher,
        (deps.experiments, served) if deps.experiments else None,
        deps.agent,
    )
    routers = [
        openai_routes(answering, door, limits),
        chat_routes(answering, door, limits),
        wrapper_routes(answering, deps.make_wrapper, limits, door, deps.stage, known),
        loop_routes(door, live, limits, has_teacher=deps.teacher is not None, progress_seconds=deps.look_seconds),
        conversation_routes(door, limits, deps.backups, deps.forget),
        dataset_routes(door, limits, files, jobs),
        dataset_work_routes(work),
        review_routes(door, limits),
        experiment_routes(door, limits, ModelsOnHand(answering.speakers.names, deps.engine_adapters)),
        model_routes(_model_shop(deps, door, answering.speakers.names)),
        job_routes(_job_office(deps, door, live)),
        evaluation_routes(door, limits, deps.state_dir),
        report_routes(door, deps.state_dir, deps.thresholds),
        health_routes(deps.engine, answering, metrics, door),
    ]
    return _assembled(routers, _lifespan(live, door, files, served, jobs, deps.listener), deps.keys, metrics)


def _model_shop(deps: IngressDeps, door: StoreDoor, names: Callable[[], list[str]]) -> ModelShop:
    shelf = Shelf(deps.adapters, deps.base_model, deps.store.lineage, deps.model_name)
    return ModelShop(door, deps.limits, shelf, names, deps.engine, deps.engine_adapters, deps.plan)


def _job_office(deps: IngressDeps, door: StoreDoor, live: LiveView) -> JobOffice:
    bench = Bench(deps.base_model, deps.store.lineage, lambda: live.settings, deps.make_recipe)
    return JobOffice(door, deps.limits, bench, deps.state_dir, deps.layers, deps.plan.gpus if deps.plan else None)


def _assembled(routers: list[APIRouter], lifespan: Any, keys: Keys, metrics: Metrics) -> FastAPI:
    api = FastAPI(title="Whetstone", lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False)
    for router in routers:
        api.router.routes += router.routes  # as they are: include_router would make each anew, for half of a start
    add_docs(api)
    api.add_exception_handler(HTTPException, answer)
    api.add_exception_handler(RequestValidationError, answer)
    api.add_middleware(Edge, keys=keys, metrics=metrics)
    return api


def _lifespan(
    live: LiveView,
    door: StoreDoor,
    files: UploadFiles,
    served: ServedLog,
    jobs: DatasetJobs,
    listener: Listener | None,
) -> Any:
    @asynccontextmanager
    async def lifespan(api: FastAPI) -> AsyncIterator[None]:
        await live.refresh()
        await asyncio.to_thread(files.sweep)
        looking = [asyncio.create_task(live.run()), asyncio.create_task(served.run())]
        async with listener.listening(api) if listener else nullcontext():
            yield
        for task in looking:
            task.cancel()
        await served.flush()
        await jobs.close()
        door.close()

    return lifespan
