"""Root of serving: `python -m serve.app` starts Ray, the engine, the ingress and the reconciler, and ends them."""

import logging
import os
import secrets
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from resources import preflight
from resources.settings import ROOT, Settings, SettingsError, read_settings
from resources.store import SchemaTooNew, StoreUnavailable, open_store
from serve.logs import configure_logs
from serve.placement import PlacementRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from ray.serve import Application

    from serve.running import Serving

log = logging.getLogger("serve.app")

_SLOW_START_SECONDS = 180
_MESSAGE_BYTES = 2**31 - 1  # the ingress bounds bodies; between replicas nothing else should


def main() -> int:
    """The exit status: 0 after a signal, 2 when it may not start, 1 when the start failed."""
    began, ending = time.monotonic(), threading.Event()
    _heed_signals(ending)
    try:
        settings = read_settings()
        configure_logs(settings.log_level)
        preflight.check(settings, ["fastapi_port"])
        deployed = as_deployed(settings, _migrate(settings))
    except (SettingsError, preflight.PreflightFailed, SchemaTooNew) as error:
        sys.stderr.write(f"{error}\n")
        return preflight.EXIT_STATUS
    try:
        serving = _start_either(deployed, settings)
    except PlacementRefused as error:
        sys.stderr.write(f"{error}\n")
        return preflight.EXIT_STATUS
    _heed_signals(ending)  # Ray put a handler of its own in front, which prints a stack
    try:
        return _serve_until(ending, serving, began)
    finally:
        log.info("ending: what is begun is answered first")
        serving.stop()


def start(
    settings: Settings, engine: "Callable[[], Application] | None" = None, *, by_proxy: bool = False
) -> "Serving":
    """Begin to start everything on this machine and return at once; `Serving.ready` tells when it is up.

    `engine` makes one that stands in for ours; `by_proxy`: Serve's proxy listens, as on a cluster.
    """
    os.environ.update(environment(settings))
    from serve.cluster import launch  # Ray reads its environment while it is imported

    return launch(settings, engine() if engine else None, by_proxy=by_proxy)


def build(arguments: dict[str, Any]) -> "Application":
    """For `serve run serve.app:build name=value` and the file of a cluster: settings by argument, the rest as always.

    `gpus` among them is how many there will be, where nodes are started as they are needed.
    """
    from serve.cluster import application

    gpus = arguments.get("gpus")
    chosen = {name: value for name, value in arguments.items() if name != "gpus"}
    return application(read_settings(**chosen), None if gpus is None else float(gpus))


def __getattr__(name: str) -> "Application":
    """`serve build serve.app:app` asks for an application that is there; it is made when it is asked for."""
    if name == "app":
        return build({})
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _heed_signals(ending: threading.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())


def _migrate(settings: Settings) -> dict[str, Any]:
    """Bring the store up to date before anything reads it; what was deployed over the API.

    Chat starts without the store where it is away, and with what the settings say.
    """
    try:
        store = open_store(settings.database_url, live_defaults=settings.live())
    except StoreUnavailable as error:
        log.warning("starting without the store: %s", error)
        return {}
    try:
        return dict(store.deployments.chosen())
    finally:
        store.close()


def as_deployed(settings: Settings, chosen: dict[str, Any]) -> Settings:
    """What a person deployed wins over the settings, as all that is changed while it runs."""
    if not chosen:
        return settings
    told = ", ".join(f"{name.upper()}={value:g}" for name, value in chosen.items())
    try:
        found = read_settings(**chosen)
    except SettingsError as error:
        log.warning("what was deployed over the API (%s) is left out, the settings count: %s", told, error)
        return settings
    log.info("as deployed over the API: %s", told)
    return found


def _start_either(deployed: Settings, settings: Settings) -> "Serving":
    """A deployment that was made for another machine keeps nothing from starting on this one."""
    try:
        return start(deployed)
    except PlacementRefused as error:
        if deployed is settings:
            raise
        log.warning("what was deployed over the API is left out, the settings count: %s", error)
        return start(settings)


def environment(settings: Settings) -> dict[str, str]:
    """What every process of the stack gets: ours to import, nothing told to anyone, no download, no orphan."""
    chosen = {
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve.proxy_guard:middlewares",
        "LANGGRAPH_STRICT_MSGPACK": "true",  # what is remembered comes back as plain data, never as code
        "RAY_USAGE_STATS_ENABLED": "0",
        **_ray_token(),
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "RAY_process_group_cleanup_enabled": "1",  # vLLM's processes end with the replica, however it ends
        "RAY_worker_niceness": "0",  # Ray's own default of 15 puts chat behind everything else on the machine
        "RAY_memory_monitor_refresh_ms": "0",  # memory that is short is the trainer's to give back, not the engine's
        "RAY_COLOR_PREFIX": "0",
        # one event loop a replica, and gRPC between them: a request, and each piece of a stream, spares several threads
        "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
        "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
        "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
        "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(_MESSAGE_BYTES),
        "RAY_SERVE_QUEUE_LENGTH_RESPONSE_DEADLINE_S": "1",  # an engine that is busy for a tenth of a second is no other
        "RAY_SERVE_SLOW_STARTUP_WARNING_S": str(_SLOW_START_SECONDS),
        "VLLM_LOGGING_LEVEL": "INFO" if settings.log_level == "DEBUG" else "ERROR",
    }
    if settings.engine_threads:
        cpus = sorted(os.sched_getaffinity(0))[: settings.engine_threads]
        chosen["VLLM_CPU_OMP_THREADS_BIND"] = ",".join(str(cpu) for cpu in cpus)
    return chosen


def _ray_token() -> dict[str, str]:
    """Nobody else on this machine may use our cluster; where Ray is imported already, it has chosen for itself."""
    if "ray" in sys.modules or "RAY_AUTH_MODE" in os.environ or "RAY_AUTH_TOKEN" in os.environ:
        return {}
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def _serve_until(ending: threading.Event, serving: "Serving", began: float) -> int:
    """Say when it is up, and wait; the exit status."""
    log.info("engine: loading %s", serving.settings.base_model)
    while not serving.ready():
        if reason := serving.failure():
            log.error("Serving did not start: %s; the log above says why.", reason)
            return 1
        if ending.wait(0.25):
            return 0
    log.info("ready in %.1f s: %s", time.monotonic() - began, serving.url)
    ending.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
