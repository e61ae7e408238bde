"""Work on uploaded files in processes of its own: one long and one short at a time, a few may wait."""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Mapping
from contextlib import suppress
from typing import Any

from resources.settings import ROOT
from serve.errors import ApiError, busy
from serve.uploading import FILE_PART

_WORKER = (sys.executable, "-m", "resources.upload_worker")
Worker = Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]
Finish = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
# what a worker can be refused by other than the file
_STATUS = {"disk_full": 507, "recogniser_missing": 500, "file_gone": 409, "not_allowed": 409}


class StillRunning(Exception):
    """The work goes on; asking for the same again waits for it."""


class DatasetJobs:
    """Runs the worker. Whoever asks for what is being done already waits for the same process."""

    def __init__(self, worker: Worker | None = None, *, waiting: int = 4, seconds: float = 3600.0) -> None:
        self._worker = worker or run_worker
        # a first look at a file does not wait for the end of another's checks, nor count among those that do
        self._turns = {is_short: asyncio.Semaphore(1) for is_short in (True, False)}
        self._taken = Counter[bool]()
        self._waiting, self._seconds = waiting, seconds
        self._running: dict[Hashable, asyncio.Task[dict[str, Any]]] = {}

    async def run(
        self, key: Hashable, job: Mapping[str, Any], wait: float | None = None, finish: Finish | None = None
    ) -> dict[str, Any]:
        """What the job came to, after `finish` has kept it, which is done also when nobody waits any more.

        Raises ApiError where it was refused, StillRunning after `wait` seconds.
        """
        task, is_short = self._running.get(key), _is_short(job)
        if task is None:
            if self._taken[is_short] > self._waiting:
                raise busy("Expected room for another check of a dataset, found too many waiting", "overloaded", 30)
            task = asyncio.create_task(self._work(job, finish))
            self._running[key] = task
            self._taken[is_short] += 1
            task.add_done_callback(lambda done: self._ended(key, is_short, done))
        done, _ = await asyncio.wait({task}, timeout=wait)
        if not done:
            raise StillRunning
        return task.result()

    def running(self, key: Hashable) -> bool:
        return key in self._running

    async def settle(self, key: Hashable) -> None:
        """Until it is done, whatever it comes to."""
        if task := self._running.get(key):
            await asyncio.wait({task})

    async def close(self) -> None:
        """Ends what still runs; nothing of it is kept."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, key: Hashable, is_short: bool, task: asyncio.Task[dict[str, Any]]) -> None:
        self._running.pop(key, None)
        self._taken[is_short] -= 1
        if not task.cancelled():
            task.exception()  # nobody may be waiting for it any more

    async def _work(self, job: Mapping[str, Any], finish: Finish | None) -> dict[str, Any]:
        async with self._turns[_is_short(job)]:
            try:
                async with asyncio.timeout(self._seconds):
                    done = _outcome(await self._worker(job))
                    return await finish(done) if finish else done
            except TimeoutError:
                message = f"Expected the work on the file to end within {self._seconds:g} s, found it unfinished"
                raise ApiError(504, message, code="timeout") from None


def _is_short(job: Mapping[str, Any]) -> bool:
    return job.get("task") == "inspect" or (job.get("task") == "statistics" and not job.get("count_tokens"))


async def run_worker(job: Mapping[str, Any]) -> dict[str, Any]:
    """One run of the worker; killed when nobody needs it any more."""
    process = await asyncio.create_subprocess_exec(
        *_WORKER,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
    )
    try:
        said, _ = await process.communicate(json.dumps({**job, "parent": os.getpid()}).encode())
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode != 0:
        message = f"Expected the work on the file to end well, found its process ended with {process.returncode}"
        raise ApiError(500, f"{message}: the log of the ingress says why", code="worker_died")
    answer: dict[str, Any] = json.loads(said)
    return answer


def _outcome(answer: Mapping[str, Any]) -> dict[str, Any]:
    refused = answer.get("refused")
    if refused is None:
        done: dict[str, Any] = answer["done"]
        return done
    rule = refused["rule"]
    if rule == "store_unavailable":
        raise busy(_sentence(refused["message"]), rule, 5)
    if rule in _STATUS:
        raise ApiError(_STATUS[rule], _sentence(refused["message"]), code=rule)
    raise ApiError(422, f"{FILE_PART}: {refused['message']}", param=FILE_PART, code=rule)


def _sentence(message: str) -> str:
    return message[:1].upper() + message[1:]
