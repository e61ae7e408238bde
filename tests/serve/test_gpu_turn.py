"""Engines of one machine measure their GPU one after the other."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from serve.gpu_turn import gpu_turn

HOLD = "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); time.sleep(60)"  # noqa: E501


@pytest.mark.anyio
async def test_one_waits_until_the_other_is_done(tmp_path: Path) -> None:
    order: list[str] = []

    async def start(name: str) -> None:
        async with gpu_turn(tmp_path, on_gpu=True):
            order.append(f"{name} begins")
            await asyncio.sleep(0.02)
            order.append(f"{name} is done")

    await asyncio.gather(start("one"), start("two"))
    assert order in (
        ["one begins", "one is done", "two begins", "two is done"],
        ["two begins", "two is done", "one begins", "one is done"],
    )


def test_one_that_was_killed_is_not_waited_for(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "gpu.lock")], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        other.kill()

    async def start() -> None:
        async with asyncio.timeout(5), gpu_turn(tmp_path, on_gpu=True):
            pass

    asyncio.run(start())


def test_without_a_gpu_nobody_waits(tmp_path: Path) -> None:
    async def start_both() -> None:
        async with gpu_turn(tmp_path, on_gpu=False), gpu_turn(tmp_path, on_gpu=False):
            pass

    asyncio.run(start_both())
    assert list(tmp_path.iterdir()) == []
