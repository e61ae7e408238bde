"""The three services of a running Whetstone: ingress with its engine, Dagster, and the MLflow page."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from deploy import dagster_home
from resources.mlflow_store import shown
from resources.settings import ROOT, Settings

LOCAL = "127.0.0.1"


def _always() -> str | None:
    return None


@dataclass(frozen=True)
class Service:
    """A child process: how it is started, where it says that it is ready, and which page it shows.

    `obstacle` returns a reason why it must not be started now, or None.
    """

    name: str
    argv: tuple[str, ...]
    ready_url: str | None = None
    page_url: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    obstacle: Callable[[], str | None] = _always

    def is_ready(self) -> bool:
        """Whether it answers; a service without an address is ready once it runs."""
        if self.ready_url is None:
            return True
        try:
            return httpx.get(self.ready_url, timeout=2, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False


def services(settings: Settings) -> list[Service]:
    """What `make up` starts, with these settings handed to each as environment."""
    found = [_ingress(settings), _dagster(settings)]
    if settings.mlflow_tracking_uri.startswith("sqlite:"):
        found.append(_mlflow(settings))
    return found


def pages(settings: Settings) -> dict[str, str]:
    """The web pages a person opens."""
    uri = settings.mlflow_tracking_uri
    return {
        "Whetstone": settings.address,
        "Dagster": f"http://{LOCAL}:{settings.dagster_port}",
        "MLflow": shown(uri) if uri.startswith("http") else f"http://{LOCAL}:{settings.mlflow_port}",
    }


def _ingress(settings: Settings) -> Service:
    url = pages(settings)["Whetstone"]
    return Service(
        "ingress",
        (sys.executable, "-m", "serve.app"),
        ready_url=f"{url}/ready",
        page_url=f"{url}/docs",
        environment=_environment(settings),
    )


def _dagster(settings: Settings) -> Service:
    home = dagster_home.write(ROOT / "dagster.yaml", settings.state_dir)
    url = pages(settings)["Dagster"]
    command = ("dagster", "dev", "-w", "workspace.yaml", "-h", LOCAL, "-p", str(settings.dagster_port))
    return Service(
        "dagster",
        (sys.executable, "-W", "ignore", "-m", *command),
        ready_url=f"{url}/server_info",
        page_url=url,
        environment={**_environment(settings), "DAGSTER_HOME": str(home)},
    )


def _mlflow(settings: Settings) -> Service:
    url = pages(settings)["MLflow"]
    database = Path(settings.mlflow_tracking_uri.removeprefix("sqlite:///"))
    return Service(
        "mlflow",
        (sys.executable, "-m", "deploy.mlflow_page"),
        ready_url=f"{url}/health",
        page_url=url,
        environment={**_environment(settings), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        obstacle=lambda: _lost_registry(database, settings.state_dir / "champion.json"),
    )


def _lost_registry(database: Path, champion: Path) -> str | None:
    if champion.exists() and not database.exists():
        return (
            f"{database} is gone while a version is served; put it back (`make restore`), an empty one would hide that"
        )
    return None


def _environment(settings: Settings) -> dict[str, str]:
    """What every service sees beside the machine's environment."""
    return {
        **settings.environment(),
        "HF_HOME": os.environ.get("HF_HOME", str(settings.models_dir.parent / "huggingface")),
        "HF_HUB_OFFLINE": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "PYTHONUNBUFFERED": "1",
    }
