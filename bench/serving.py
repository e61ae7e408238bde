"""Output tokens a second: the whole stack beside plain `vllm serve`, adapter and folded champion beside the base.

`.venv/bin/python -m bench.serving` starts both with the same arguments and lets vLLM's own `bench serve` ask them in
turn, block by block; the one that is not asked is idle. It takes about ten minutes of two cores.
"""

import asyncio
import os
import shutil
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from bench.answers import Answer, Distance, batch, distance
from bench.cpu_use import CpuUse
from bench.free_ports import free_ports
from bench.plain_vllm import plain_vllm
from bench.report import RESULTS, Figure, Report, Target
from bench.trained_versions import promote
from bench.vllm_client import Block, VllmClient
from deploy.demo import fresh_settings
from deploy.services import LOCAL, pages, services
from deploy.stack import Stack, interrupted_by_signals
from resources import base_model
from resources.settings import ROOT, Settings

PROMPTS = {1: 4, 8: 24, 32: 64}  # by clients: eight to fifteen seconds each on two cores
SETTLE_SECONDS = 1.5  # a plain vLLM's worker spins for a second after its last step
FOLD_SECONDS = 120.0  # one fold a minute
ROWS, PAIRS = 16, 3

STACK = Target(at_least=0.95, of_ratio=True)
ADAPTER = Target(at_least=0.6, of_ratio=True)
FOLDED = Target(at_least=0.95, of_ratio=True)


@dataclass
class Contest:
    """Blocks of two that are asked in turn, and what came of them."""

    client: VllmClient
    tokenizer: str
    pids: dict[str, int]
    blocks: list[dict[str, Any]] = field(default_factory=list)

    def between(
        self, one: tuple[str, str], other: tuple[str, str], clients: int, prompts: int = 0
    ) -> tuple[float, float]:
        """Median tokens/s of (url, model) and of another, both asked the same: one, other, other, one."""
        speeds: dict[tuple[str, str], list[float]] = {one: [], other: []}
        seed = len(self.blocks)  # new questions: none is answered from a cache
        for turn, who in enumerate((one, other, other, one)):
            speeds[who].append(self.speed(who, clients, seed + turn // 2, prompts))
        return statistics.median(speeds[one]), statistics.median(speeds[other])

    def speed(self, who: tuple[str, str], clients: int, seed: int, prompts: int = 0) -> float:
        url, model = who
        use = {name: CpuUse(pid) for name, pid in self.pids.items()}
        time.sleep(SETTLE_SECONDS)
        prompts = prompts or PROMPTS[clients]
        said = self.client.measure(Block(url, model, clients, prompts, self.tokenizer, seed=seed))
        if said["completed"] != prompts:
            raise RuntimeError(f"Expected {prompts} answers of {model} at {url}, found {said['completed']}")
        cpu = {name: used.seconds() for name, used in use.items()}
        self.blocks.append({"url": url, "model": model, "clients": clients, "cpu_seconds": cpu, **said})
        speed = float(said["output_throughput"])
        print(f"{model} at {url}, {_clients(clients)}: {speed:.1f} tokens/s", flush=True)
        return speed


def measure(settings: Settings, port: int) -> Report:
    shutil.rmtree(settings.state_dir, ignore_errors=True)
    for n in (1, 2):
        promote(settings, n)  # v2 answers as production
    ingress = next(part for part in services(settings) if part.name == "ingress")
    plain = plain_vllm(settings, port, {})
    ours, other = (pages(settings)["Whetstone"], "base"), (f"http://{LOCAL}:{port}", "base")
    tokenizer = str(base_model.resolve(settings.base_model, settings.models_dir))
    with interrupted_by_signals(), Stack(settings, parts=[ingress, plain]) as stack, VllmClient() as client:
        contest = Contest(client, tokenizer, {part.name: stack.pid(part.name) or 0 for part in (ingress, plain)})
        for who in (ours, other):
            contest.speed(who, 8, seed=9, prompts=16)
        figures = [*_stacks(contest, ours, other), *_adapters(contest, ours[0]), *_mixed(ours[0])]
        return Report("serving", figures, {"blocks": contest.blocks})


def _stacks(contest: Contest, ours: tuple[str, str], other: tuple[str, str]) -> Iterator[Figure]:
    for clients in PROMPTS:
        mine, plain = contest.between(ours, other, clients)
        yield Figure(f"whole stack, {_clients(clients)}", mine, "tokens/s", plain, "plain vllm serve", STACK)


def _adapters(contest: Contest, url: str) -> Iterator[Figure]:
    """The champion is folded first: for a minute after that no other adapter is, however much it is asked.

    The adapter's blocks lie between those of the base and it is warmed up before, so that they end within that minute.
    """
    contest.speed((url, "v1"), 8, seed=9, prompts=8)
    seconds = _fold(url, "v2")
    base, adapter = contest.between((url, "base"), (url, "v1"), 32, prompts=32)
    _check_folded(url, "v2")
    yield Figure("adapter, 32 clients", adapter, "tokens/s", base, "base", ADAPTER)
    for clients in (1, 32):
        champion, base = contest.between((url, "production"), (url, "base"), clients)
        yield Figure(f"folded champion, {_clients(clients)}", champion, "tokens/s", base, "base", FOLDED)
    _check_folded(url, "v2")
    yield Figure("asked often to folded", seconds, "s")


def _mixed(url: str) -> Sequence[Figure]:
    """How far answers of the base are apart between two batches: both of the base alone, or one half an adapter's."""
    between, mixed = asyncio.run(_distances(url))
    most = max(each.rms for each in between)
    return [
        Figure(
            "base beside v1: log-probabilities, rms",
            _mean(mixed, "rms"),
            "nats",
            most,
            "base only, at most",
            Target(at_most=most),
        ),
        Figure("base beside v1: answers that part", _mean(mixed, "parted"), "", _mean(between, "parted"), "base only"),
    ]


async def _distances(url: str) -> tuple[list[Distance], list[Distance]]:
    asked = [f"What do you know of the number {number}?" for number in range(ROWS)]
    between, mixed = list[Distance](), list[Distance]()
    first = await _beside(url, asked, "base", 0)
    for pair in range(1, PAIRS + 1):
        between.append(distance(first, await _beside(url, asked, "base", pair)))
        mixed.append(distance(first, await _beside(url, asked, "v1", pair)))
    return between, mixed


async def _beside(url: str, asked: Sequence[str], model: str, seed: int) -> list[Answer]:
    """The base's answers, as many others of `model` in the same batch."""
    others = [(model, f"Tell me something about {100 * seed + number} apples.") for number in range(ROWS)]
    pairs = [pair for both in zip([("base", question) for question in asked], others, strict=True) for pair in both]
    return (await batch(url, pairs))[::2]


def _fold(url: str, name: str) -> float:
    """Ask the champion until it is folded; the seconds that took."""
    began = time.monotonic()
    while _folded(url) != name:
        if time.monotonic() - began > FOLD_SECONDS:
            raise RuntimeError(f"Expected {name} to be folded within {FOLD_SECONDS:.0f} s, found {_folded(url)}")
        asyncio.run(batch(url, [("production", "Are you folded?")] * 2, tokens=2))
    return time.monotonic() - began


def _check_folded(url: str, name: str) -> None:
    if _folded(url) != name:
        raise RuntimeError(f"Expected {name} to stay folded, found {_folded(url)}")


def _folded(url: str) -> str | None:
    found: str | None = httpx.get(f"{url}/ready", timeout=10, trust_env=False).json()["folded"]
    return found


def _mean(found: Sequence[Distance], name: str) -> float:
    return statistics.fmean(getattr(each, name) for each in found)


def _clients(clients: int) -> str:
    return "1 client" if clients == 1 else f"{clients} clients"


def main() -> int:
    ours, plain = free_ports(2)
    settings = fresh_settings(RESULTS / "serving-state", fastapi_port=ours, engine_max_sequences=max(PROMPTS))
    return measure(settings, plain).finish()


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
