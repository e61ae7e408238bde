"""The ingress as a Serve deployment: it gathers what the routes stand on, in its own process."""

import asyncio
import gc
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from fastapi import FastAPI
from pydantic import SecretStr
from ray import serve

from resources import base_model
from resources.agent_memory import FILE_NAME, AgentMemory
from resources.capture import CaptureWriter
from resources.features import LocalFeatures
from resources.settings import ROOT, Settings
from resources.store import Store, StoreUnavailable, open_store
from serve.agent_client import AgentClient, agent_runs
from serve.api import IngressDeps, build_api
from serve.auth import Keys
from serve.champion_follower import ChampionFollower
from serve.deployment_plan import DeploymentPlan
from serve.doorbell import Doorbell
from serve.engine_team import client_of
from serve.experiment_follower import ExperimentFollower
from serve.features import FeatureLookUp
from serve.limits import IngressLimits
from serve.listener import Listener
from serve.logs import configure_logs
from serve.pin_follower import PinFollower
from serve.pins import Pins
from serve.teacher import Teacher
from wrappers.lora import Complete, LoraWrapper

log = logging.getLogger(__name__)

_YOUNG = 20_000  # new objects between two looks for cycles, of which a chat makes few: a look costs every chat


@serve.ingress()
class IngressReplica:
    """Chat goes on with the last known champion while the store is away, also from the start."""

    def __init__(
        self,
        engine: Any,
        settings: Settings,
        lineage: str,
        others: Sequence[Any] = (),
        agent: Any = None,
        listener: Listener | None = None,
    ) -> None:
        configure_logs(settings.log_level)
        gc.set_threshold(_YOUNG, 20, 20)
        store = _store(settings, lineage)
        client = client_of(engine)
        pins, home = Pins(), settings.state_dir
        base = base_model.resolve(settings.base_model, settings.models_dir)
        size = base_model.parameters(base)
        self._follower = ChampionFollower(store, client, state_dir=home, lineage=lineage, pins=pins)
        self._experiments = ExperimentFollower(
            store,
            client,
            pins,
            state_dir=home,
            lineage=lineage,
            has_teacher=settings.has_teacher,
            has_agent=agent is not None,
        )
        self._pins = PinFollower(store, client, pins)
        self._doorbell = Doorbell([self._follower.bell, self._experiments.bell])
        self._writer = CaptureWriter(store, settings.capture_queue)
        memory = AgentMemory(home / FILE_NAME)
        self._others = others  # deployments that nobody calls; a handle to them is what makes Serve start them
        self._deps = IngressDeps(
            engine=client,
            store=store,
            writer=self._writer,
            follower=self._follower,
            live=settings.live(),
            backups=settings.state_dir / "backups",
            uploads=settings.state_dir / "uploads",
            make_wrapper=None if agent is not None and settings.wrapper == "langgraph" else _wrapper,
            limits=IngressLimits.of(settings),
            keys=keys_of(settings),
            teacher=teacher_of(settings),
            agent=AgentClient(agent_runs(agent)) if agent is not None else None,
            features=features_of(settings),
            forget=memory.forget_user,
            stage=settings.mlflow_model_stage,
            experiments=self._experiments,
            engine_adapters=settings.engine_adapters,
            base_model=settings.base_model,
            adapters=settings.state_dir / "adapters",
            state_dir=settings.state_dir,
            thresholds=settings.gate_thresholds(),
            model_name=settings.mlflow_model_name,
            plan=DeploymentPlan(settings, ray.cluster_resources().get("GPU", 0)),
            tokenizer=str(base),
            make_recipe=lambda live: settings.recipe(live, size),
            layers=base_model.linear_layers(base),
            max_tokens=settings.finetune_max_length,
            recogniser=settings.data_recogniser,
            listener=listener,
        )

    def __serve_build_asgi_app__(self) -> FastAPI:
        self._following = [asyncio.create_task(each.run()) for each in (self._follower, self._experiments, self._pins)]
        self._doorbell.open(self._deps.store.listen())
        return build_api(self._deps)

    async def check_health(self) -> None:
        for task in self._following:
            if task.done():
                task.result()

    async def __del__(self) -> None:
        self._doorbell.close()
        for task in self._following:
            task.cancel()
        await asyncio.to_thread(self._writer.close)  # what clients were not told of yet is written first


def build_ingress(
    engine: Any,
    settings: Settings,
    others: Sequence[serve.Application],
    actor: Mapping[str, Any] | None = None,
    agent: serve.Application | None = None,
    *,
    by_proxy: bool = True,
) -> serve.Application:
    """The root of the application: the ingress over engine and agent, and beside it what only has to run.

    `engine` is one, or a list of several each with its size; `actor` what Ray sets aside for the ingress. Unless
    Serve's proxy is there to listen, the ingress does, which is then the only replica of its kind.
    """
    own = Listener(settings.host, settings.fastapi_port, settings.request_timeout_seconds)
    lineage = base_model.fingerprint(base_model.resolve(settings.base_model, settings.models_dir))
    deployment = serve.deployment(
        name="Ingress",
        max_ongoing_requests=4 * settings.max_concurrent_requests,
        max_queued_requests=2 * settings.max_concurrent_requests,  # one more is answered 503 by the proxy
        graceful_shutdown_timeout_s=settings.request_timeout_seconds,
        health_check_timeout_s=60,
        ray_actor_options={"num_cpus": 0, **(actor or {})},
    )(IngressReplica)
    return deployment.bind(engine, settings, lineage, list(others), agent, None if by_proxy else own)


def keys_of(settings: Settings) -> Keys:
    return Keys(settings.enable_auth, _secret(settings.api_key), _secret(settings.admin_api_key))


def teacher_of(settings: Settings) -> Teacher | None:
    if not settings.has_teacher:
        return None
    key = _secret(settings.openai_api_key)
    return Teacher(settings.openai_base_url, key, settings.teacher_model, settings.request_timeout_seconds)


def features_of(settings: Settings) -> FeatureLookUp | None:
    """The source of what is known of users; None where none is configured."""
    path = settings.data_source_path
    return LocalFeatures(ROOT / Path(path).expanduser()).of if path else None


def _store(settings: Settings, lineage: str) -> Store:
    """Brought up to date where it answers; where it does not, it is asked again by every request."""
    try:
        return open_store(settings.database_url, live_defaults=settings.live(), lineage=lineage)
    except StoreUnavailable as error:
        log.warning("the ingress starts without the store: %s", error)
        return Store(settings.database_url, live_defaults=settings.live(), lineage=lineage)


def _wrapper(complete: Complete) -> LoraWrapper:
    return LoraWrapper(complete=complete)


def _secret(value: SecretStr | None) -> str:
    return value.get_secret_value() if value else ""
