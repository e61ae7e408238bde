"""Root of serving: `python -m serve.app` starts Ray, the engine, the ingress and the reconciler, and ends them."""

import logging
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.api import RunTarget
from ray.serve.exceptions import RayServeException
from ray.serve.schema import ApplicationStatus, LoggingConfig

from resources import base_model, preflight
from resources.settings import ROOT, Settings, SettingsError, read_settings
from resources.store import SchemaTooNew, StoreUnavailable, open_store
from serve.ingress import build_ingress
from serve.logs import configure_logs
from serve.replicas import EngineReplica, ReconcilerReplica
from serve.vllm_compat import EngineOptions

log = logging.getLogger("serve.app")

APPLICATION = "whetstone"
_OBJECT_STORE_BYTES = 200 * 2**20
_LOGICAL_CPUS = 2  # one for the engine, all else takes none; Ray's count is bookkeeping, not a limit
_SLOW_START_SECONDS = 180
_DRAIN_SECONDS = 20  # less than what whoever ends us will wait
_CONTROL_REQUESTS = 16  # a swap must find a place also while every chat place is taken
_HEALTH: dict[str, Any] = {"health_check_period_s": 5, "health_check_timeout_s": 60}


class StartFailed(RuntimeError):
    """Serving did not come up; one sentence that says what to do."""


@dataclass(frozen=True)
class Serving:
    """A running stack. `stop` answers what is begun, takes nothing new and leaves no process behind."""

    settings: Settings
    ray_folder: Path

    @property
    def url(self) -> str:
        return f"http://{self.settings.host}:{self.settings.fastapi_port}"

    def ready(self) -> bool:
        """Whether everything runs; StartFailed when it never will."""
        application = serve.status().applications[APPLICATION]
        if application.status == ApplicationStatus.DEPLOY_FAILED:
            raise StartFailed(f"Serving did not start: {_last_line(application.message)}; the log above says why.")
        return bool(application.status == ApplicationStatus.RUNNING)

    def stop(self) -> None:
        if ray.is_initialized():
            self._drain()
            serve.shutdown()
            ray.shutdown()
        shutil.rmtree(self.ray_folder, ignore_errors=True)

    def _drain(self) -> None:
        """Take nothing new and answer what is begun; Serve's own shutdown would cut the streams."""
        with suppress(RayError, RayServeException):
            serve.delete(APPLICATION, _blocking=False)
            deadline = time.monotonic() + _DRAIN_SECONDS
            while APPLICATION in serve.status().applications and time.monotonic() < deadline:
                time.sleep(0.1)


def main() -> int:
    """The exit status: 0 after a signal, 2 when it may not start, 1 when the start failed."""
    ending = threading.Event()
    _heed_signals(ending)
    try:
        settings = read_settings()
        configure_logs(settings.log_level)
        preflight.check(settings, ["fastapi_port"])
        _migrate(settings)
    except (SettingsError, preflight.PreflightFailed, SchemaTooNew) as error:
        sys.stderr.write(f"{error}\n")
        return preflight.EXIT_STATUS
    serving = start(settings)
    _heed_signals(ending)  # Ray put a handler of its own in front, which prints a stack
    try:
        _announce(serving, ending)
        ending.wait()
    except StartFailed as error:
        log.error("%s", error)
        return 1
    finally:
        log.info("ending: what is begun is answered first")
        serving.stop()
    return 0


def start(settings: Settings) -> Serving:
    """Begin to start everything on this machine and return at once; `Serving.ready` tells when it is up."""
    os.environ.update(_environment(settings))
    folder = Path(tempfile.mkdtemp(prefix="whetstone-"))
    serving = Serving(settings, folder)
    try:
        ray.init(
            address="local",
            num_cpus=_LOGICAL_CPUS,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            logging_level=logging.WARNING,
            _temp_dir=str(folder),
        )
        logs = LoggingConfig(log_level="INFO" if settings.log_level == "DEBUG" else "WARNING", enable_access_log=False)
        http = {"host": settings.host, "port": settings.fastapi_port, "request_timeout_s": None}
        serve.start(proxy_location="HeadOnly", http_options=http, logging_config=logs)
        target = RunTarget(target=application(settings), name=APPLICATION, route_prefix="/", logging_config=logs)
        serve.run_many([target], wait_for_ingress_deployment_creation=False, wait_for_applications_running=False)
    except BaseException:
        serving.stop()
        raise
    return serving


def build(arguments: dict[str, Any]) -> serve.Application:
    """For `serve run serve.app:build name=value`: settings by argument, the rest as always."""
    return application(read_settings(**arguments))


def application(settings: Settings) -> serve.Application:
    """The ingress, the engine behind it, and the reconciler beside it."""
    folder = base_model.resolve(settings.base_model, settings.models_dir)
    lineage, gpus = base_model.fingerprint(folder), ray.cluster_resources().get("GPU", 0)
    options = options_for(settings, folder, on_gpu=bool(gpus))
    engine = _engine(settings, bool(gpus)).bind(options, settings.state_dir / "adapters", lineage, settings.log_level)
    reconciler = serve.deployment(name="Reconciler", ray_actor_options={"num_cpus": 0}, **_HEALTH)(ReconcilerReplica)
    return build_ingress(engine, settings, [reconciler.bind(engine, settings, lineage)])


def _engine(settings: Settings, on_gpu: bool) -> serve.Deployment:
    share = {"num_gpus": settings.engine_gpu_fraction} if on_gpu else {}
    return serve.deployment(
        name="Engine",
        ray_actor_options={"num_cpus": 1, **share},
        max_ongoing_requests=settings.max_concurrent_requests + _CONTROL_REQUESTS,
        max_queued_requests=settings.max_concurrent_requests,
        graceful_shutdown_timeout_s=_DRAIN_SECONDS,
        graceful_shutdown_wait_loop_s=0.5,
        **_HEALTH,
    )(EngineReplica)


def options_for(settings: Settings, folder: Path, *, on_gpu: bool) -> EngineOptions:
    """A cache of fixed size in RAM without a GPU; a share of its memory and vLLM's own batch sizes with one."""
    options = EngineOptions(
        model=str(folder),
        adapters=settings.engine_adapters,
        lora_rank=settings.finetune_lora_rank,
        max_model_len=settings.engine_context_tokens,
        max_num_seqs=settings.engine_max_sequences,
        max_num_batched_tokens=settings.engine_batch_tokens,
        kv_cache_bytes=settings.engine_kv_cache_bytes,
    )
    if not on_gpu:
        return options
    chosen = settings.model_fields_set
    return replace(
        options,
        memory_share=settings.engine_gpu_fraction,
        kv_cache_bytes=None,
        max_num_seqs=options.max_num_seqs if "engine_max_sequences" in chosen else None,
        max_num_batched_tokens=options.max_num_batched_tokens if "engine_batch_tokens" in chosen else None,
    )


def _heed_signals(ending: threading.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())


def _migrate(settings: Settings) -> None:
    """Bring the store up to date before anything reads it; chat starts without it where it is away."""
    try:
        open_store(settings.database_url, live_defaults=settings.live()).close()
    except StoreUnavailable as error:
        log.warning("starting without the store: %s", error)


def _with_token() -> None:
    """Begin once more where Ray has no token yet: it reads it while it is imported, and later is too late."""
    if "RAY_AUTH_TOKEN" not in os.environ:
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        os.execve(sys.executable, [*sys.orig_argv], {**os.environ, **token})  # noqa: S606  no shell is meant


def _environment(settings: Settings) -> dict[str, str]:
    """What every process of the stack gets: ours to import, nothing told to anyone, no download, no orphan."""
    chosen = {
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve.proxy_guard:middlewares",
        "RAY_USAGE_STATS_ENABLED": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "RAY_process_group_cleanup_enabled": "1",  # vLLM's processes end with the replica, however it ends
        "RAY_worker_niceness": "0",  # Ray's own default of 15 puts chat behind everything else on the machine
        "RAY_memory_monitor_refresh_ms": "0",  # memory that is short is the trainer's to give back, not the engine's
        "RAY_COLOR_PREFIX": "0",
        "RAY_SERVE_SLOW_STARTUP_WARNING_S": str(_SLOW_START_SECONDS),
        "VLLM_LOGGING_LEVEL": "INFO" if settings.log_level == "DEBUG" else "ERROR",
    }
    if settings.engine_threads:
        cpus = sorted(os.sched_getaffinity(0))[: settings.engine_threads]
        chosen["VLLM_CPU_OMP_THREADS_BIND"] = ",".join(str(cpu) for cpu in cpus)
    return chosen


def _announce(serving: Serving, ending: threading.Event) -> None:
    """Say what is awaited and when it is there."""
    began = time.monotonic()
    log.info("engine: loading %s", serving.settings.base_model)
    while not serving.ready():
        if ending.wait(0.25):
            return
    log.info("ready in %.1f s: %s", time.monotonic() - began, serving.url)


def _last_line(message: str) -> str:
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"


if __name__ == "__main__":
    _with_token()
    sys.exit(main())
