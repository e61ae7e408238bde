"""One engine after the other: vLLM measures what is free on its GPU, and two that measure at once measure wrongly."""

import asyncio
import fcntl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO


@asynccontextmanager
async def gpu_turn(folder: Path, *, on_gpu: bool) -> AsyncIterator[None]:
    """Wait until no other process of this machine is in its turn; a process that dies ends its own."""
    if not on_gpu:
        yield
        return
    with await asyncio.to_thread(_locked, folder):
        yield


def _locked(folder: Path) -> IO[str]:
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / "gpu.lock").open("w")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file
