"""Clients that hang up on a real Ray Serve, by its proxy and by our listener: each frees its slot within a second."""

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

import httpx
import psutil
import pytest

from bench.free_ports import free_ports
from resources.settings import ROOT

pytestmark = pytest.mark.slow

HANG_UPS = 24
BODY = {"model": "production", "messages": [{"role": "user", "content": "프린터가 안 됩니다."}]}
# with these a client could keep the engine busy after it has left, or outlive every timeout
SWITCHES = "x-request-disconnect-disabled: ?1\r\nx-request-timeout-seconds: 3600\r\n"


@dataclass
class Stack:
    process: "subprocess.Popen[bytes]"
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answering(self) -> int | None:
        """How many requests the engine works on; None while nothing answers."""
        with suppress(httpx.HTTPError, StopIteration):
            httpx.get(f"{self.url}/ready", timeout=5, trust_env=False).raise_for_status()
            return self.told("engine_requests")
        return None

    def told(self, name: str) -> int:
        """One figure of /metrics."""
        lines = httpx.get(f"{self.url}/metrics", timeout=5, trust_env=False).text.splitlines()
        return next(int(float(line.split()[1])) for line in lines if line.startswith(f"whetstone_{name} "))

    def wait_for(self, answering: int, seconds: float) -> float:
        """Seconds until that many are answered."""
        began = time.monotonic()
        while (found := self.answering()) != answering:
            assert time.monotonic() - began < seconds, f"{found} in work instead of {answering}\n{self.tail()}"
            assert self.process.poll() is None, self.tail()
            time.sleep(0.02)
        return time.monotonic() - began

    def ask(self, *, stream: bool, headers: str = "") -> socket.socket:
        body = json.dumps({**BODY, "stream": stream}).encode()
        asking = socket.create_connection(("127.0.0.1", self.port))
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\n{headers}content-length: {len(body)}\r\n\r\n"
        asking.sendall(head.encode() + body)
        return asking

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]


@pytest.fixture(scope="module", params=["listener", "proxy"])
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="whetstone-test-") as folder:
        port, log = free_ports(1)[0], Path(folder) / "log"
        command = [sys.executable, "-m", "bench.mock_stack", str(port), folder, "--pause", "0.15"]
        command += ["--by-proxy"] if request.param == "proxy" else []
        with log.open("wb") as output:
            process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, env=dict(os.environ))
        running = Stack(process, port, log)
        try:
            running.wait_for(0, 180)
            yield running
        finally:
            process.terminate()
            try:
                process.wait(60)
            finally:
                process.kill()


@pytest.mark.parametrize("headers", ["", SWITCHES], ids=["plain", "switched off"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_hang_ups_free_their_slots_within_a_second(stack: Stack, stream: bool, headers: str) -> None:
    asking = [stack.ask(stream=stream, headers=headers) for _ in range(HANG_UPS)]
    stack.wait_for(HANG_UPS, 20)
    if stream:
        assert all(each.recv(64).startswith(b"HTTP/1.1 200") for each in asking)
    for each in asking:
        each.close()
    assert stack.wait_for(0, 5) < 1.0
    assert stack.told("chats_running") == 0


def test_an_unknown_method_is_told_so_in_json(stack: Stack) -> None:
    with socket.create_connection(("127.0.0.1", stack.port)) as asking:
        asking.sendall(b"BREW /chat HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        head, _, body = asking.recv(4096).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["error"]["code"] == "no_http_request"


def test_an_ingress_that_is_killed_answers_again(stack: Stack) -> None:
    """With connections open: the port that it left behind must be there for the next."""
    asking = [stack.ask(stream=True) for _ in range(4)]
    stack.wait_for(4, 20)
    (ingress,) = [each for each in psutil.Process(stack.process.pid).children(recursive=True)
                  if "ServeReplica:whetstone:Ingress" in " ".join(each.cmdline())]  # fmt: skip
    ingress.kill()
    ingress.wait(10)
    stack.wait_for(0, 90)
    for each in asking:
        each.close()


def test_at_its_end_a_stream_that_began_is_finished(stack: Stack) -> None:
    with stack.ask(stream=True) as asking:
        stack.wait_for(1, 20)
        stack.process.send_signal(signal.SIGTERM)
        asking.settimeout(30)
        said = b"".join(iter(lambda: asking.recv(65536), b""))
    assert b"data: [DONE]" in said
    assert stack.process.wait(60) == 0, stack.tail()
