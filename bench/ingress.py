"""What the ingress adds to a reply, and how many it passes on, beside LiteLLM's proxy in the same run.

`.venv/bin/python -m bench.ingress`: a mock stands where the model would, behind a Serve handle for us and behind HTTP
for LiteLLM, on one core with the clients; what is measured has the other core to itself. One worker each, kept-alive
connections, the same bodies. Ours stores every conversation, on disk before it says `collected: true`; LiteLLM nothing.
What the disk alone takes to keep as many bytes is printed too: no reply of ours can be quicker than that.
"""

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bench.background import background
from bench.cores import cpu_seconds, family, stay_on, two_cores
from bench.free_ports import free_ports
from bench.http_load import Seen, closed_loop, open_loop
from bench.ingress_bodies import PATH, Bodies
from bench.peers import environment
from bench.report import Figure, Report, Target
from core.live_settings import LiveSettings
from resources.settings import ROOT
from resources.store import Store

ADDED_P99 = Target(at_most=0.33, of_ratio=True)
RATE_A_CORE = Target(at_least=5.0, of_ratio=True)
NONE = Target(at_most=0)
NOT_THE_LIMIT = Target(at_least=3.0, of_ratio=True)

ROUNDS = int(os.environ.get("INGRESS_BENCH_ROUNDS", "5"))
CLIENTS = 16
SATURATING = {"ours": 3_000, "litellm": 600}  # requests of one block: a few seconds each
STEADY_SECONDS = 6.0
WARM_UP = 300
START_SECONDS = 180
_COMMIT = 7 * 4120  # bytes: the pages that one conversation changes, each with its head
OURS, LITELLM, DIRECT = "ours", "litellm", "direct"
ENGINE = "ray::ServeReplica:whetstone:Engine"  # the mock, whose like does not count for LiteLLM either
MUST_HOLD = {OURS: b"x-whetstone-collected: true"}


@dataclass
class Side:
    """What is asked at a port, and what was seen of it; the time of its `processes` counts, but of the mock `behind`.

    `cost` is what a request took of each in the last block, in microseconds.
    """

    port: int
    processes: Callable[[], list[psutil.Process]]
    must_hold: bytes = b""
    behind: str = ""
    cost: dict[str, int] = field(default_factory=dict)
    rates: list[float] = field(default_factory=list)
    a_core: list[float] = field(default_factory=list)
    steady: list[Seen] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    answered: int = 0

    def warm_up(self, requests: Sequence[bytes]) -> None:
        """Nothing is measured: the mock answers these within one tick of the clock that counts processor time."""
        self._note(asyncio.run(closed_loop(self.port, requests, CLIENTS, self.must_hold)))

    def saturate(self, requests: Sequence[bytes]) -> None:
        """As many as it can; its requests a second of its own processor time stand beside those of the clock."""
        before = cpu_seconds(self.processes())
        seen = asyncio.run(closed_loop(self.port, requests, CLIENTS, self.must_hold))
        used = cpu_seconds(self.processes())
        used.subtract(before)
        counted = sum(seconds for name, seconds in used.items() if name != self.behind)
        self.rates.append(seen.rate)
        self.a_core.append(len(seen.seconds) / counted)
        self.cost = {name: round(1e6 * each / len(seen.seconds)) for name, each in used.most_common(6)}
        self._note(seen)

    def keep_steady(self, requests: Sequence[bytes], rate: float) -> None:
        """That many a second, whatever it answers."""
        seen = asyncio.run(open_loop(self.port, requests, rate, self.must_hold))
        self.steady.append(seen)
        self._note(seen)

    def percentile(self, share: float) -> float:
        """Milliseconds, see `_percentile`."""
        return _percentile([seen.seconds for seen in self.steady], share)

    def _note(self, seen: Seen) -> None:
        self.failures += seen.failures
        self.answered += len(seen.seconds)


def measure(folder: Path) -> tuple[dict[str, Side], float, int, list[list[float]]]:
    """Both sides and the mock itself in turns; the steady rate; how many conversations ours has on disk.

    Last of each round what the disk took, in seconds, for as many writes at the same rate.
    """
    front, back = two_cores()
    bodies = Bodies()
    with ExitStack() as stack:
        sides = dict(_started(stack, folder, front, back))
        stay_on(back)
        for side in sides.values():
            side.warm_up(bodies.take(WARM_UP, side.port))
        for _ in range(ROUNDS):
            for name, side in sides.items():
                side.saturate(bodies.take(SATURATING.get(name, 10_000), side.port))
        rate = 0.5 * min(statistics.median(side.rates) for side in sides.values())
        syncs = []
        for _ in range(ROUNDS):
            for side in sides.values():
                side.keep_steady(bodies.take(int(rate * STEADY_SECONDS), side.port), rate)
            syncs.append(sync_seconds(folder / "sync", int(rate * STEADY_SECONDS), 1 / rate))
        return sides, rate, _stored(folder), syncs


def sync_seconds(path: Path, number: int, pause: float) -> list[float]:
    """What it takes to have one conversation's worth of SQLite's log on disk, ascending."""
    taken, file = [], os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    try:
        for _ in range(number):
            began = time.perf_counter()
            os.write(file, bytes(_COMMIT))
            os.fdatasync(file)
            taken.append(time.perf_counter() - began)
            time.sleep(max(0.0, pause - taken[-1]))
    finally:
        os.close(file)
    return sorted(taken)


def _started(stack: ExitStack, folder: Path, front: int, back: int) -> Iterator[tuple[str, Side]]:
    direct, litellm, ours = free_ports(3)
    python = sys.executable
    mock = stack.enter_context(
        background([python, "-m", "bench.mock_upstream", str(direct), str(back)], folder / "mock.log",
                   f"http://127.0.0.1:{direct}/", START_SECONDS)
    )  # fmt: skip
    yield DIRECT, Side(direct, lambda: family(mock.pid))
    config = folder / "litellm.yaml"
    config.write_text(_CONFIG.format(port=direct), encoding="utf-8")
    proxy = environment("litellm").with_name("litellm")
    peer = stack.enter_context(
        background(["taskset", "-c", str(front), proxy, "--config", config, "--host", "127.0.0.1", "--port",
                    str(litellm), "--num_workers", "1", "--telemetry", "False"], folder / "litellm.log",
                   f"http://127.0.0.1:{litellm}/health/liveliness", START_SECONDS, _QUIET)
    )  # fmt: skip
    yield LITELLM, Side(litellm, lambda: family(peer.pid))
    stack_of_ours = stack.enter_context(
        background([python, "-m", "bench.mock_stack", str(ours), folder / "state", "--core", str(front),
                    "--engine-core", str(back)], folder / "ours.log", f"http://127.0.0.1:{ours}/ready", START_SECONDS)
    )  # fmt: skip
    yield OURS, Side(ours, lambda: family(stack_of_ours.pid), MUST_HOLD[OURS], ENGINE)


# no keys on either side, and nothing that LiteLLM would look for on the internet
_CONFIG = """model_list:
  - model_name: production
    litellm_params: {{model: openai/mock, api_base: "http://127.0.0.1:{port}/v1", api_key: none}}
litellm_settings: {{telemetry: false}}
general_settings: {{dangerously_permit_weak_or_unset_master_key: true}}
"""
_QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR"}


def _stored(folder: Path) -> int:
    store = Store(f"sqlite:///{folder / 'state' / 'whetstone.db'}", live_defaults=LiveSettings())
    try:
        return store.conversations.counts().rows
    finally:
        store.close()


def figures(sides: dict[str, Side], stored: int, syncs: list[list[float]]) -> list[Figure]:
    """Added latency is what came through less what the mock answers the same client directly."""
    ours, litellm, direct = (sides[name] for name in (OURS, LITELLM, DIRECT))

    def added(share: float, target: Target | None, name: str) -> Figure:
        through = (side.percentile(share) - direct.percentile(share) for side in (ours, litellm))
        return Figure(name, next(through), "ms", next(through), "LiteLLM", target)

    def rate(of: Callable[[Side], list[float]], name: str, target: Target | None) -> Figure:
        return Figure(name, statistics.median(of(ours)), "/s", statistics.median(of(litellm)), "LiteLLM", target)

    slowest = max(statistics.median(side.rates) for side in (ours, litellm))
    return [
        added(0.5, None, "added latency p50"),
        added(0.99, ADDED_P99, "added latency p99"),
        *(_of_the_disk(share, syncs) for share in (0.5, 0.99)),
        rate(lambda side: side.a_core, "requests a second of a core", RATE_A_CORE),
        rate(lambda side: side.rates, "requests a second by the clock", None),
        Figure("the clients alone, at the mock", statistics.median(direct.rates), "/s", slowest, "the faster side",
               NOT_THE_LIMIT),
        Figure("requests failed", float(len(ours.failures)), "", float(len(litellm.failures)), "LiteLLM", NONE),
        Figure("told collected and not in the store", float(max(0, ours.answered - stored)), target=NONE),
    ]  # fmt: skip


def _of_the_disk(share: float, syncs: list[list[float]]) -> Figure:
    return Figure(f"of it a write to this disk p{100 * share:.0f}", _percentile(syncs, share), "ms")


def _percentile(rounds: Sequence[Sequence[float]], share: float) -> float:
    """Milliseconds, of seconds: the median over the rounds of each round's percentile."""
    return 1000 * statistics.median(sorted(seconds)[int(share * (len(seconds) - 1))] for seconds in rounds)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="whetstone-ingress-") as folder:
        sides, rate, stored, syncs = measure(Path(folder))
    details = {
        "rounds": ROUNDS,
        "clients": CLIENTS,
        "steady_rate": rate,
        "rates": {name: side.rates for name, side in sides.items()},
        "a_core": {name: side.a_core for name, side in sides.items()},
        "p50_p99_ms": {name: [side.percentile(0.5), side.percentile(0.99)] for name, side in sides.items()},
        "microseconds_a_request": {name: side.cost for name, side in sides.items()},
        "path": PATH,
    }
    return Report("ingress", figures(sides, stored, syncs), details).finish()


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
