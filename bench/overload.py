"""Twice as many chats as the stack can answer, and 500 clients that hang up in the middle of a stream.

`.venv/bin/python -m bench.overload` starts a stack with a real engine and a state of its own. Blocks at saturation and
blocks at twice of it take turns; every request asks for the same number of tokens.
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from bench.background import background
from bench.cores import family
from bench.free_ports import free_ports
from bench.http_load import Seen, closed_loop, open_loop
from bench.report import Figure, Report, Target
from resources.settings import ROOT

GOODPUT = Target(at_least=0.9, of_ratio=True)
REFUSED_MS = Target(at_most=50)
GROWN_MIB = Target(at_most=64)
FREED_SECONDS = Target(at_most=1.0)
NONE = Target(at_most=0)

CHATS, SEQUENCES, TOKENS = 16, 8, 16
BLOCKS = int(os.environ.get("OVERLOAD_BENCH_BLOCKS", "3"))
BLOCK_SECONDS = 20.0
HANG_UPS = 500
START_SECONDS = 240
MIB = 2**20


@dataclass
class Measured:
    """What the blocks and the hang-ups gave; `grown` is in bytes."""

    peak: list[Seen] = field(default_factory=list)
    over: list[Seen] = field(default_factory=list)
    grown: dict[str, int] = field(default_factory=dict)
    freed: list[float] = field(default_factory=list)
    hung_up: int = 0
    left: float = 0.0
    answered_after: int = 0


class Stack:
    """The running stack, as bytes are sent to it."""

    def __init__(self, port: int, pid: int) -> None:
        self.port, self._pid = port, pid
        self._number = 0

    def requests(self, number: int, *, stream: bool = False) -> list[bytes]:
        """That many, each with a question of its own and a reply of TOKENS tokens."""
        return [self._request(stream) for _ in range(number)]

    def memory(self) -> dict[str, int]:
        """Resident bytes of what a flood could swell, by process."""
        sizes: dict[str, int] = {}
        for process in family(self._pid):
            with suppress(psutil.NoSuchProcess):
                title = " ".join(process.cmdline())
                name = next((part for part in ("Ingress", "Engine") if f"whetstone:{part}" in title), None)
                if name:
                    sizes[name] = process.memory_info().rss
        return sizes

    def taken(self) -> float:
        """Places taken at the ingress, and requests in the engine."""
        text = httpx.get(f"http://127.0.0.1:{self.port}/metrics", timeout=10, trust_env=False).text
        told = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return float(told["whetstone_chats_running"]) + float(told["whetstone_engine_requests"])

    def _request(self, stream: bool) -> bytes:
        self._number += 1
        question = f"Name {self._number} things that a printer may lack. 프린터에 없을 수 있는 것은?"
        tokens = 512 if stream else TOKENS
        body = {
            "model": "production",
            "messages": [{"role": "user", "content": question}],
            "max_tokens": tokens,
            "min_tokens": tokens,
            "stream": stream,
        }
        data = json.dumps(body, ensure_ascii=False).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\ncontent-length: {len(data)}"
        return f"{head}\r\n\r\n".encode() + data


def measure(folder: Path) -> Measured:
    """Start, flood, hang up, and look at what is left."""
    (port,) = free_ports(1)
    chosen = {
        "STATE_DIR": str(folder / "state"),
        "FASTAPI_PORT": str(port),
        "MAX_CONCURRENT_REQUESTS": str(CHATS),
        "ENGINE_MAX_SEQUENCES": str(SEQUENCES),
        "MAX_TOKENS_LIMIT": "1024",
        "ENABLE_AUTH": "false",
        "ANSWER_WITH": "student",
    }
    command = [sys.executable, "-m", "serve.app"]
    ready = f"http://127.0.0.1:{port}/ready"
    with background(command, folder / "serve.log", ready, START_SECONDS, chosen) as process:
        stack, found = Stack(port, process.pid), Measured()
        asyncio.run(closed_loop(port, stack.requests(2 * CHATS), CHATS))  # warm
        for _ in range(BLOCKS):
            _block(stack, found)
        asyncio.run(_hang_ups(stack, found))
        found.left = stack.taken()
        after = asyncio.run(closed_loop(port, stack.requests(CHATS), CHATS))
        found.answered_after = len(after.seconds)
    return found


def _block(stack: Stack, found: Measured) -> None:
    expected = statistics.median([seen.rate for seen in found.peak] or [4.0])
    peak = asyncio.run(closed_loop(stack.port, stack.requests(max(CHATS, int(expected * BLOCK_SECONDS))), CHATS))
    found.peak.append(peak)
    before = stack.memory()
    rate = 2 * peak.rate
    over = asyncio.run(open_loop(stack.port, stack.requests(int(rate * BLOCK_SECONDS)), rate))
    found.over.append(over)
    print(f"at saturation {peak.rate:.2f} replies/s, asked for {rate:.2f}: {over.rate:.2f}", flush=True)
    for name, size in stack.memory().items():
        found.grown[name] = max(found.grown.get(name, 0), size - before.get(name, size))


async def _hang_ups(stack: Stack, found: Measured) -> None:
    """In waves of as many as the engine answers at once: all have read their first words when all hang up."""
    while found.hung_up < HANG_UPS:
        wave = min(SEQUENCES, HANG_UPS - found.hung_up)
        began = await asyncio.gather(*(_words_of(stack.port, one) for one in stack.requests(wave, stream=True)))
        left = time.monotonic()
        for writer in began:
            writer.transport.abort()
        while await asyncio.to_thread(stack.taken):
            if time.monotonic() - left > 30:
                break
            await asyncio.sleep(0.02)
        found.freed.append(time.monotonic() - left)
        found.hung_up += wave


async def _words_of(port: int, request: bytes) -> asyncio.StreamWriter:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await reader.readuntil(b'"content": "')  # the head of the stream says nothing yet
    await reader.readuntil(b'"content": "')
    return writer


def figures(found: Measured) -> Sequence[Figure]:
    """Goodput against the peak of the same run."""
    peak, over = (statistics.median(seen.rate for seen in blocks) for blocks in (found.peak, found.over))
    refused = sorted(seconds for seen in found.over for seconds in seen.refused)
    answered = sorted(seconds for seen in found.over for seconds in seen.seconds)
    failures = sum(len(seen.failures) for seen in (*found.peak, *found.over))
    late = 1000 * refused[int(0.99 * (len(refused) - 1))] if refused else None
    return [
        Figure("replies a second at twice saturation", over, "/s", peak, "at saturation", GOODPUT),
        Figure("refusals with Retry-After, p99", late, "ms", target=REFUSED_MS),
        Figure("refusals", float(len(refused))),
        Figure("answers at twice saturation, p99", answered[int(0.99 * (len(answered) - 1))], "s"),
        Figure("neither answered nor refused", float(failures), target=NONE),
        Figure("memory of the ingress grew", found.grown.get("Ingress", 0) / MIB, "MiB", target=GROWN_MIB),
        Figure("memory of the engine's replica grew", found.grown.get("Engine", 0) / MIB, "MiB", target=GROWN_MIB),
        Figure("streams hung up on", float(found.hung_up)),
        Figure("slowest to give all places back", max(found.freed), "s", target=FREED_SECONDS),
        Figure("places taken after them", found.left, target=NONE),
        Figure("chats unanswered after them", float(CHATS - found.answered_after), target=NONE),
    ]


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="whetstone-overload-") as folder:
        found = measure(Path(folder))
    details = {
        "peak": [seen.rate for seen in found.peak],
        "over": [seen.rate for seen in found.over],
        "freed_seconds": found.freed,
        "failures": sorted({failure for seen in (*found.peak, *found.over) for failure in seen.failures})[:5],
    }
    return Report("overload", figures(found), details).finish()


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
