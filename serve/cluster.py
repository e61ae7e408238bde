"""Everything of Ray: the local cluster, the deployments on it, and how they end."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray import serve
from ray.serve.api import RunTarget
from ray.serve.schema import LoggingConfig

from resources import base_model
from resources.settings import Settings
from serve.agent_replica import AgentReplica
from serve.ingress import build_ingress
from serve.placement import Part, PlacementRefused, autoscaling, most_engines, placed
from serve.ray_folder import make_folder, remove_orphans
from serve.replicas import EngineReplica, ReconcilerReplica
from serve.running import APPLICATION, DRAIN_SECONDS, Serving
from serve.vllm_compat import EngineOptions

_OBJECT_STORE_BYTES = 200 * 2**20
_SPARE_CPUS = 1  # one for each engine, all else takes none; Ray's count is bookkeeping, not a limit
_CONTROL_REQUESTS = 16  # a swap must find a place also while every chat place is taken
_HEALTH: dict[str, Any] = {"health_check_period_s": 5, "health_check_timeout_s": 60}


def launch(settings: Settings, engine: serve.Application | None = None, *, by_proxy: bool = False) -> Serving:
    """Begin to start everything on this machine and return at once; `Serving.ready` tells when it is up.

    `engine` stands in for ours and its reconciler. `by_proxy`: Serve's proxy listens, as on a cluster.
    """
    remove_orphans()
    folder = make_folder()
    serving = Serving(settings, folder)
    try:
        ray.init(
            address="local",
            num_cpus=most_engines(settings) + _SPARE_CPUS,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            logging_level=logging.WARNING,
            _temp_dir=str(folder),
        )
        made = (
            build_ingress(engine, settings, [], by_proxy=by_proxy)
            if engine
            else application(settings, by_proxy=by_proxy)
        )
        logs = LoggingConfig(log_level="INFO" if settings.log_level == "DEBUG" else "WARNING", enable_access_log=False)
        http = {"host": settings.host, "port": settings.fastapi_port, "request_timeout_s": None}
        serve.start(proxy_location="HeadOnly" if by_proxy else "Disabled", http_options=http, logging_config=logs)
        target = RunTarget(target=made, name=APPLICATION, route_prefix="/", logging_config=logs)
        serve.run_many([target], wait_for_ingress_deployment_creation=False, wait_for_applications_running=False)
    except PlacementRefused:
        ray.shutdown()  # Serve, which was not started yet, would start to be told to end
        shutil.rmtree(folder, ignore_errors=True)
        raise
    except BaseException:
        serving.stop()
        raise
    return serving


def application(
    settings: Settings, gpus: float | None = None, engine: type = EngineReplica, *, by_proxy: bool = True
) -> serve.Application:
    """The ingress, engines and agent behind it, and the reconciler beside it.

    `gpus` is how many there will be (None: those of the cluster, where there is one). Raises PlacementRefused.
    """
    if gpus is None and ray.is_initialized():
        gpus = ray.cluster_resources().get("GPU", 0)
    placement = placed(settings, gpus)
    folder = base_model.resolve(settings.base_model, settings.models_dir)
    lineage = base_model.fingerprint(folder)

    def bound(name: str, part: Part, number: dict[str, Any]) -> serve.Application:
        options = options_for(settings, folder, part)
        deployment = _engine(settings, name, part, number)(engine)
        return deployment.bind(options, settings.state_dir, lineage, settings.log_level)

    engines: Any = bound("Engine", placement.engine, autoscaling(settings))
    if placement.second.share:
        second = bound("SecondEngine", placement.second, {"num_replicas": 1})
        engines = [(engines, placement.engine.share), (second, placement.second.share)]
    reconciler = serve.deployment(name="Reconciler", ray_actor_options={"num_cpus": 0}, **_HEALTH)(ReconcilerReplica)
    others = [reconciler.bind(engines, settings, lineage)]
    agent = _agent(settings, placement.agent).bind(engines, settings) if settings.agent_enabled else None
    return build_ingress(engines, settings, others, placement.rest.actor_options(0), agent, by_proxy=by_proxy)


def _agent(settings: Settings, part: Part) -> serve.Deployment:
    """One replica: its threads are in one file, and a thread's turns wait for each other there."""
    return serve.deployment(
        name="Agent",
        ray_actor_options=part.actor_options(0),
        max_ongoing_requests=settings.max_concurrent_requests,
        max_queued_requests=settings.max_concurrent_requests,
        graceful_shutdown_timeout_s=DRAIN_SECONDS,
        graceful_shutdown_wait_loop_s=0.5,
        **_HEALTH,
    )(AgentReplica)


def _engine(settings: Settings, name: str, part: Part, number: dict[str, Any]) -> serve.Deployment:
    return serve.deployment(
        name=name,
        **number,
        ray_actor_options=part.actor_options(1),
        max_ongoing_requests=settings.max_concurrent_requests + _CONTROL_REQUESTS,
        max_queued_requests=settings.max_concurrent_requests,
        graceful_shutdown_timeout_s=DRAIN_SECONDS,
        graceful_shutdown_wait_loop_s=0.5,
        **_HEALTH,
    )


def options_for(settings: Settings, folder: Path, part: Part) -> EngineOptions:
    """A cache of fixed size in RAM without a GPU; a share of its memory and vLLM's own batch sizes with one."""
    options = EngineOptions(
        model=str(folder),
        adapters=settings.engine_adapters,
        lora_rank=settings.finetune_lora_rank,
        max_model_len=settings.engine_context_tokens,
        max_num_seqs=settings.engine_max_sequences,
        max_num_batched_tokens=settings.engine_batch_tokens,
        kv_cache_bytes=settings.engine_kv_cache_bytes,
        fold=settings.engine_fold_champion and not part.share,
    )
    if not part.share:
        return options
    chosen = settings.model_fields_set
    return replace(
        options,
        memory_share=part.memory,
        kv_cache_bytes=None,
        max_num_seqs=options.max_num_seqs if "engine_max_sequences" in chosen else None,
        max_num_batched_tokens=options.max_num_batched_tokens if "engine_batch_tokens" in chosen else None,
    )
