"""The whole of serving as a process: it answers, survives the death of its engine, and ends without a trace."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest

from resources.settings import ROOT

pytestmark = [pytest.mark.engine, pytest.mark.slow]

MARK = "WHETSTONE_TEST"
START_SECONDS = 240


@dataclass
class Stack:
    process: subprocess.Popen[bytes]
    url: str
    mark: str
    log: Path
    folders_before: set[Path]

    def is_ready(self) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/ready", timeout=5, trust_env=False).status_code == 200
        return False

    def wait_until(self, ready: bool) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self.is_ready() != ready:
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            assert time.monotonic() < deadline, self.log.read_text()[-4000:]
            time.sleep(0.2)

    def ask(self, **more: object) -> httpx.Response:
        body = {"model": "production", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8, **more}
        return httpx.post(f"{self.url}/v1/chat/completions", json=body, timeout=60, trust_env=False)

    def processes(self) -> list[psutil.Process]:
        """Everything that this start began, whoever its parent is now."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                if process.environ().get(MARK) == self.mark:
                    found.append(process)
        return found

    def named(self, part: str) -> list[psutil.Process]:
        found = []
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                if part in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(90)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    state, mark = tmp_path_factory.mktemp("state"), uuid4().hex
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # SPT_NOENV: Ray renames its workers, which would otherwise wipe the mark out of their environment
    environment = {**os.environ, MARK: mark, "SPT_NOENV": "1", "STATE_DIR": str(state), "FASTAPI_PORT": str(port)}
    log, before = state / "serve.log", _ray_folders()
    with log.open("wb") as output:
        command = [sys.executable, "-m", "serve.app"]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
    running = Stack(process, f"http://127.0.0.1:{port}", mark, log, before)
    try:
        running.wait_until(ready=True)
        yield running
    finally:
        if process.poll() is None:
            process.kill()
        for left in running.processes():
            with suppress(psutil.NoSuchProcess):
                left.kill()


def test_it_answers_and_says_who_answered(stack: Stack) -> None:
    reply = stack.ask()
    assert reply.status_code == 200, reply.text
    assert reply.headers["x-whetstone-model"] == "base"
    assert reply.json()["choices"][0]["message"]["content"]


def test_the_agent_answers_remembers_its_user_and_streams(stack: Stack) -> None:
    named = {"model": "agent", "user": "ann", "metadata": {"conversation_id": "t1"}}
    first = stack.ask(**named)
    assert first.status_code == 200, f"{first.text}\n{stack.log.read_text()[-4000:]}"
    assert (first.headers["x-whetstone-model"], first.headers["x-whetstone-collected"]) == ("base", "true")
    said = first.json()["choices"][0]["message"]["content"]
    assert said
    streamed = stack.ask(**named, stream=True)
    assert streamed.text.rstrip().endswith("data: [DONE]")
    second = httpx.get(f"{stack.url}/mlops/conversations", params={"user_id": "ann"}, timeout=60, trust_env=False)
    newest, oldest = second.json()["items"]
    assert [message["content"] for message in newest["messages"]] == ["Say hello.", said, "Say hello."]
    assert len(oldest["messages"]) == 1
    body = {"input": "Say hello.", "user_id": "ann", "session_id": "t1"}
    predicted = httpx.post(f"{stack.url}/invoke", json=body, timeout=60, trust_env=False)
    assert (predicted.status_code, predicted.json()["model"], predicted.json()["version"]) == (200, "base", None)
    assert predicted.json()["output"]


@pytest.mark.parametrize("victim", ["VLLM::Worker", "VLLM::EngineCore", "ServeReplica:whetstone:Engine"])
def test_an_engine_that_dies_is_replaced_and_leaves_nothing_behind(stack: Stack, victim: str) -> None:
    before = {process.pid for process in stack.named("VLLM::")}
    (process,) = stack.named(victim)
    process.kill()
    stack.wait_until(ready=False)
    stack.wait_until(ready=True)
    assert stack.ask().status_code == 200
    after = {process.pid for process in stack.named("VLLM::")}
    assert len(after) == len(before)
    assert not after & before


def test_at_its_end_it_answers_what_is_begun_and_leaves_no_process_and_no_folder(stack: Stack) -> None:
    body = {
        "model": "production",
        "messages": [{"role": "user", "content": "Count from one to one hundred in words."}],
        "max_tokens": 200,
        "stream": True,
    }
    with httpx.stream("POST", f"{stack.url}/v1/chat/completions", json=body, timeout=60, trust_env=False) as reply:
        lines = reply.iter_lines()
        next(lines)
        stack.process.send_signal(signal.SIGTERM)
        said = [line for line in lines if line]
    assert said[-1] == "data: [DONE]"
    assert json.loads(said[-2].removeprefix("data: "))["choices"][0]["finish_reason"] in ("length", "stop")
    assert stack.process.wait(90) == 0, stack.log.read_text()[-4000:]
    assert stack.processes() == []
    assert _ray_folders() <= stack.folders_before


def _ray_folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("whetstone-*"))
