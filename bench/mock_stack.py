"""The stack with a mock in the engine's place: `python -m bench.mock_stack PORT STATE`, ended by a signal."""

import argparse
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cores import stay_on
from deploy.demo import fresh_settings
from resources.store import open_store
from serve.app import start

if TYPE_CHECKING:
    from ray.serve import Application

_PLACES = 512


def run() -> int:
    """0 after a signal, 1 when it did not come up."""
    given = _arguments()
    ending = threading.Event()
    if given.core is not None:
        stay_on(given.core)
    settings = fresh_settings(given.state, fastapi_port=given.port, max_concurrent_requests=given.chats)
    open_store(settings.database_url, live_defaults=settings.live()).close()
    running = start(settings, lambda: _engine(given.engine_core, given.pause), by_proxy=given.by_proxy)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    try:
        while not running.ready() and not ending.is_set():
            if reason := running.failure():
                print(reason, file=sys.stderr)
                return 1
            time.sleep(0.1)
        ending.wait()
    finally:
        running.stop()
    return 0


def _engine(core: int | None, pause: float) -> "Application":
    from ray import serve

    from bench.mock_engine import MockEngine

    deployment = serve.deployment(
        name="Engine",
        max_ongoing_requests=_PLACES,
        max_queued_requests=_PLACES,
        graceful_shutdown_wait_loop_s=0.5,
        ray_actor_options={"num_cpus": 0},
    )(MockEngine)
    return deployment.bind(core, pause)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("state", type=Path)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds before each word")
    parser.add_argument("--chats", type=int, default=256, help="chats at once")
    parser.add_argument("--core", type=int, help="the core of everything but the engine")
    parser.add_argument("--engine-core", type=int, help="the core of the engine")
    parser.add_argument("--by-proxy", action="store_true", help="Serve's proxy listens")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(run())
