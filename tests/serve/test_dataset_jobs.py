"""Work on files in processes of their own: one at a time, bounded, ended when nobody needs it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from resources.settings import ROOT
from resources.store import Store
from resources.upload_worker import NICENESS, answer
from serve.api import IngressDeps, build_api
from serve.dataset_jobs import DatasetJobs, StillRunning, run_worker
from serve.errors import ApiError
from tests.serve.ingress_fixtures import LOCAL
from tests.serve.test_dataset_work_api import GOOD, alpaca, lines

pytestmark = pytest.mark.anyio


class Worker:
    """Answers when it is let; counts how often it was asked and how many were at work at once."""

    def __init__(self) -> None:
        self.go_on, self.asked, self.at_work, self.most, self.cancelled = asyncio.Event(), 0, 0, 0, 0

    async def __call__(self, job: Mapping[str, Any]) -> dict[str, Any]:
        self.asked += 1
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.at_work -= 1
        return {"done": dict(job)}


async def test_the_same_work_is_done_once_for_all_who_ask_for_it() -> None:
    worker = Worker()
    jobs = DatasetJobs(worker)
    with pytest.raises(StillRunning):
        await jobs.run("a", {"n": 1}, 0.01)
    waiting = asyncio.create_task(jobs.run("a", {"n": 1}))
    await asyncio.sleep(0)
    worker.go_on.set()

    assert (await waiting, worker.asked) == ({"n": 1}, 1)
    assert not jobs.running("a")


async def test_what_it_came_to_is_kept_also_when_nobody_waits_any_more() -> None:
    worker, kept = Worker(), list[dict[str, Any]]()
    jobs = DatasetJobs(worker)

    async def keep(done: dict[str, Any]) -> dict[str, Any]:
        kept.append(done)
        return {"kept": True}

    with pytest.raises(StillRunning):
        await jobs.run("a", {"n": 1}, 0.01, keep)
    worker.go_on.set()
    await jobs.settle("a")

    assert kept == [{"n": 1}]
    assert await jobs.run("a", {"n": 2}, None, keep) == {"kept": True}


async def test_one_works_and_a_few_wait() -> None:
    worker = Worker()
    jobs = DatasetJobs(worker, waiting=2)
    tasks = [asyncio.create_task(jobs.run(n, {"n": n})) for n in range(3)]
    await asyncio.sleep(0.01)
    with pytest.raises(ApiError) as refused:
        await jobs.run(9, {})
    worker.go_on.set()

    assert (refused.value.status, refused.value.headers["retry-after"]) == (503, "30")
    assert [task["n"] for task in await asyncio.gather(*tasks)] == [0, 1, 2]
    assert worker.most == 1


async def test_a_first_look_does_not_wait_for_a_long_check() -> None:
    worker = Worker()
    jobs = DatasetJobs(worker)
    tasks = [
        asyncio.create_task(jobs.run(n, {"task": task, "count_tokens": n == 3}))
        for n, task in enumerate(("validate", "inspect", "split", "statistics"))
    ]
    await asyncio.sleep(0.01)

    assert (worker.asked, worker.at_work) == (2, 2)
    worker.go_on.set()
    await asyncio.gather(*tasks)
    assert worker.most == 2


async def test_long_checks_that_wait_turn_no_upload_away() -> None:
    worker = Worker()
    jobs = DatasetJobs(worker, waiting=1)
    long = [asyncio.create_task(jobs.run(n, {"task": "validate"})) for n in range(2)]
    await asyncio.sleep(0.01)
    look = asyncio.create_task(jobs.run("new", {"task": "inspect"}))
    await asyncio.sleep(0.01)
    worker.go_on.set()

    assert await look == {"task": "inspect"}
    await asyncio.gather(*long)


async def test_work_without_an_end_is_ended() -> None:
    worker = Worker()
    jobs = DatasetJobs(worker, seconds=0.01)
    with pytest.raises(ApiError) as refused:
        await jobs.run("a", {})

    assert (refused.value.status, worker.cancelled) == (504, 1)


async def test_closing_ends_what_runs_and_what_waits() -> None:
    worker = Worker()
    jobs = DatasetJobs(worker)
    for key in "ab":
        with pytest.raises(StillRunning):
            await jobs.run(key, {}, 0.01)
    await jobs.close()

    assert (worker.asked, worker.cancelled) == (1, 1)
    assert not jobs.running("a")


@pytest.mark.parametrize(("rule", "status", "param"), [("disk_full", 507, None), ("file_gone", 409, None),
                                                       ("not_allowed", 409, None), ("store_unavailable", 503, None),
                                                       ("torn_last_line", 422, "file")])  # fmt: skip
async def test_a_refusal_becomes_an_answer(rule: str, status: int, param: str | None) -> None:
    async def worker(job: Mapping[str, Any]) -> dict[str, Any]:
        return {"refused": {"rule": rule, "message": "why", "line": None, "column": None}}

    with pytest.raises(ApiError) as refused:
        await DatasetJobs(worker).run("a", {})
    assert (refused.value.status, refused.value.param, refused.value.code) == (status, param, rule)


def job(path: Path, task: str = "inspect") -> dict[str, Any]:
    where = {"id": 1, "path": str(path), "extension": "jsonl", "created_at": "2026-01-01T00:00:00+00:00"}
    return {"task": task, **where, "format": "auto", "mapping": {}, "skip_invalid": False}


@pytest.mark.slow
async def test_the_process_reads_the_file_and_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(lines(GOOD))
    good = asyncio.create_task(DatasetJobs().run("a", job(path)))
    torn = tmp_path / "torn.jsonl"
    torn.write_bytes(lines(GOOD) + b"{")
    with pytest.raises(ApiError, match="line 4"):
        await DatasetJobs().run("a", job(torn))

    assert (await good)["stats"]["total_samples"] == 3


async def test_a_dataset_deleted_while_it_is_ingested_is_a_conflict_and_a_store_away_no_fault(
    store: Store, tmp_path: Path
) -> None:
    values = {"name": "n", "version": "1", "format": "alpaca", "kind": "training", "file_name": "a.jsonl"}
    values |= {"extension": "jsonl", "size_bytes": 1, "sha256": "", "mapping": {}, "tags": [], "dataset_metadata": {}}
    id = store.uploads.add({**values, "stats": {}}, lambda id: None).id
    store.uploads.delete(id)
    path = tmp_path / "data.jsonl"
    path.write_bytes(lines(GOOD))
    ingest = {**job(path, "ingest"), "id": id, "provenance": "human"}

    for url, rule in ((str(store.database.url), "not_allowed"), (f"sqlite:///{tmp_path}/x.db", "store_unavailable")):
        assert answer({**ingest, "database_url": url})["refused"]["rule"] == rule


def test_the_process_stands_behind_the_chats_for_time_and_memory() -> None:
    program = "import os; from resources.upload_worker import step_back as s; s(); print(os.nice(0)); "
    program += "print(open('/proc/self/oom_score_adj').read())"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)

    assert [int(word) for word in said.stdout.split()] == [min(19, os.nice(0) + NICENESS), 1000]


async def test_a_process_that_dies_is_no_end_of_the_ingress(tmp_path: Path) -> None:
    with pytest.raises(ApiError) as died:
        await DatasetJobs().run("a", {"task": "no such task"})

    assert (died.value.status, died.value.code) == (500, "worker_died")


@pytest.mark.slow
async def test_a_process_that_nobody_needs_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    os.mkfifo(path)  # nobody ever writes to it
    running = asyncio.create_task(run_worker(job(path)))
    await asyncio.sleep(1.0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert children() == []


@pytest.mark.slow
async def test_chats_are_answered_while_a_large_file_is_checked(deps: IngressDeps) -> None:
    built = build_api(replace(deps, worker=None))
    rows = [alpaca(n * 7919, output=f"Turn {n} screws, then wait {n * 13} seconds. " * 5) for n in range(5_000)]
    path, ask = "/api/v1/admin/training/datasets", {"messages": [{"role": "user", "content": "Hi there"}]}
    async with (
        built.router.lifespan_context(built),
        httpx.AsyncClient(transport=httpx.ASGITransport(built), base_url=LOCAL, timeout=300) as client,
    ):
        parts = {"name": "large", "version": "1"}
        made = await client.post(path, data=parts, files={"file": ("a.jsonl", lines(rows))})
        assert made.json()["total_samples"] == 5_000
        checking = asyncio.create_task(client.post(f"{path}/1/validate"))
        answered = 0
        while not checking.done():
            reply = await client.post("/v1/chat/completions", json=ask)
            assert reply.status_code == 200
            answered += 1
            await asyncio.sleep(0.01)

    assert (await checking).json()["total"] == 5_000
    assert answered >= 20


def children() -> list[str]:
    task = Path(f"/proc/{os.getpid()}/task")
    found = " ".join((thread / "children").read_text() for thread in task.iterdir()).split()
    return [pid for pid in found if "upload_worker" in Path(f"/proc/{pid}/cmdline").read_text()]
