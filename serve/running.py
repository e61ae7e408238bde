"""A stack that was started: whether it is up, and how it ends."""

import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.schema import ApplicationStatus, ApplicationStatusOverview

from resources.settings import Settings

APPLICATION = "whetstone"
DRAIN_SECONDS = 20  # less than what whoever ends us will wait


@dataclass(frozen=True)
class Serving:
    """A running stack. `stop` answers what is begun, takes nothing new and leaves no process behind."""

    settings: Settings
    ray_folder: Path

    @property
    def url(self) -> str:
        return f"http://{self.settings.host}:{self.settings.fastapi_port}"

    def ready(self) -> bool:
        """Whether everything runs."""
        return bool(self._application().status == ApplicationStatus.RUNNING)

    def failure(self) -> str | None:
        """Why it will never be ready; None while it may."""
        application = self._application()
        return _last_line(application.message) if application.status == ApplicationStatus.DEPLOY_FAILED else None

    def stop(self) -> None:
        if ray.is_initialized():
            self._drain()
            serve.shutdown()
            ray.shutdown()
        shutil.rmtree(self.ray_folder, ignore_errors=True)

    def _application(self) -> ApplicationStatusOverview:
        return serve.status().applications[APPLICATION]

    def _drain(self) -> None:
        """Take nothing new and answer what is begun; Serve's own shutdown would cut the streams."""
        with suppress(RayError, RayServeException):
            serve.delete(APPLICATION, _blocking=False)
            deadline = time.monotonic() + DRAIN_SECONDS
            while APPLICATION in serve.status().applications and time.monotonic() < deadline:
                time.sleep(0.1)


def _last_line(message: str) -> str:
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
