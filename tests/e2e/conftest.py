"""One real stack for all end-to-end tests: engine, ingress, Dagster and MLflow on free ports and a fresh state."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import httpx
import psutil
import pytest

from bench.free_ports import free_ports
from deploy import processes
from deploy.client import Client
from deploy.demo import fresh_settings
from deploy.services import pages
from deploy.stack import Stack
from resources.settings import Settings

Found = TypeVar("Found")

POLL_SECONDS = 0.2


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Real parts and small numbers: one epoch, a checkpoint as soon as there is a step, a short lease."""
    fastapi_port, dagster_port, mlflow_port = free_ports(3)
    return fresh_settings(
        tmp_path_factory.mktemp("state"),
        fastapi_port=fastapi_port,
        dagster_port=dagster_port,
        mlflow_port=mlflow_port,
        finetune_batch_size=200,
        finetune_epochs=1,
        checkpoint_seconds=1,
        lease_seconds=5,
    )


@pytest.fixture(scope="module")
def stack(settings: Settings) -> Iterator[Stack]:
    with ExitStack() as running:
        stack = Stack(settings)
        running.callback(_nothing_is_left, stack.mark)
        yield running.enter_context(stack)


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[Client]:
    with Client(pages(stack.settings)["Whetstone"]) as client:
        yield client


def eventually(look: Callable[[], Found | None], what: str, seconds: float) -> Found:
    """What `look` finds as soon as it finds something; a failed request counts as nothing found."""
    deadline = time.monotonic() + seconds
    problem = ""
    while time.monotonic() < deadline:
        try:
            if found := look():
                return found
        except httpx.HTTPError as error:
            problem = f"; last error: {error}"
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"waited {seconds:.0f} s for {what}{problem}")


def trainer_of(stack: Stack, version: int) -> psutil.Process | None:
    """The process that trains this version, found among those of the stack alone."""
    wanted = ["--stage", "train", "--version", str(version)]
    for process in processes.marked(stack.mark):
        try:
            line = process.cmdline()
        except psutil.NoSuchProcess:
            continue
        if any(Path(part).name == "train.py" for part in line) and all(part in line for part in wanted):
            return process
    return None


def _nothing_is_left(mark: str) -> None:
    left = [f"{process.pid} {' '.join(process.cmdline())[:80]}" for process in processes.marked(mark)]
    assert not left, f"processes outlived the stack: {left}"
