"""Processes that a bench starts, waits for, and ends."""

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from resources.settings import ROOT

_END_SECONDS = 60


@contextmanager
def background(
    command: Sequence[str | Path], log: Path, url: str, seconds: float, environment: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that is up once `url` answers 200; RuntimeError with the end of its log when it never does."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(process, log, url, seconds)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_END_SECONDS)
        finally:
            process.kill()


def _wait(process: "subprocess.Popen[bytes]", log: Path, url: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(httpx.HTTPError):
            if httpx.get(url, timeout=5, trust_env=False).status_code == 200:
                return
        time.sleep(0.2)
    raise RuntimeError(f"Expected an answer from {url}, found none: {log.read_text(errors='replace')[-2000:]}")
