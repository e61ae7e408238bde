"""One engine after the other: vLLM measures what is free on its GPU, and two that measure at once measure wrongly."""

import asyncio
import fcntl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path


@asynccontextmanager
async def gpu_turn(folder: Path, *, on_gpu: bool) -> AsyncIterator[None]:
    """Wait until no other process of this machine is in its turn; a process that dies ends its own."""
    if not on_gpu:
        yield
        return
    with (folder / "gpu.lock").open("w") as file:
        await asyncio.to_thread(fcntl.flock, file, fcntl.LOCK_EX)
        yield
