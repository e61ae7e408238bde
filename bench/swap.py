"""Swaps and roll backs under load: failed and mixed replies, the time to a new champion's first word, bystanders.

`.venv/bin/python -m bench.swap` starts an engine, an ingress and a store of its own. Blocks with swaps and blocks
without take turns; both send the same open load at half of the measured saturation, and the same probes of
`production`. SWAP_BENCH_SWAPS (1000) is the number of swaps, of which a tenth are of versions never loaded before.
"""

import asyncio
import math
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from bench.forced_words import forced_words
from bench.free_ports import free_ports
from bench.open_load import Ask, Chats, Reply
from bench.report import RESULTS, Figure, Report, Target
from bench.swap_versions import SwapVersions
from deploy.demo import fresh_settings
from deploy.services import pages, services
from deploy.stack import Stack, interrupted_by_signals
from resources import base_model
from resources.settings import ROOT, Settings

SWAPS = int(os.environ.get("SWAP_BENCH_SWAPS", "1000"))
NEW = SWAPS // 10
BLOCKS = 5
SATURATION_SECONDS, QUIET_SECONDS = 12.0, 12.0
PAUSE_SECONDS = 0.02
LOADING_SECONDS = 0.1  # who asks for what is still being loaded, and hangs up on whom else answers, is a load too
CLIENTS = 16
LOAD = (*[Ask("production", 16)] * 2, Ask("base", 16))
PROBE = Ask("production", 2)

NONE = Target(at_most=0)
HALF_MORE = Target(at_most=1.5, of_ratio=True)


@dataclass
class Seen:
    """Everything that was answered, and how long each swap took until its first word."""

    calm: list[Reply] = field(default_factory=list)
    swapping: list[Reply] = field(default_factory=list)
    calm_probes: list[Reply] = field(default_factory=list)
    probes: list[Reply] = field(default_factory=list)
    resident: list[float] = field(default_factory=list)
    new: list[float] = field(default_factory=list)
    rate: float = 0.0
    asked_again: int = 0

    @property
    def all(self) -> list[Reply]:
        return [*self.calm, *self.swapping, *self.calm_probes, *self.probes]


class Swapping:
    """Plays the swaps of one block while the load goes on."""

    def __init__(self, chats: Chats, versions: SwapVersions, seen: Seen) -> None:
        self._chats, self._versions, self._seen = chats, versions, seen

    async def block(self, swaps: int, every: int) -> None:
        """`swaps` of them, of which one in `every` brings a version that the engine never saw."""
        for number in range(swaps):
            fresh = number % every == every - 1
            if fresh:
                await asyncio.to_thread(self._versions.prepare_next)
            move = self._versions.conclude_next if fresh else self._versions.swap_back
            wanted, committed = await asyncio.to_thread(move)
            first = await self._first_word_of(wanted, LOADING_SECONDS if fresh else PAUSE_SECONDS)
            (self._seen.new if fresh else self._seen.resident).append(first - committed)
            await asyncio.sleep(PAUSE_SECONDS)

    async def calm(self, seconds: float) -> None:
        """The same probes, and nobody moves."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._seen.calm_probes.append(await self._chats.send(PROBE))
            await asyncio.sleep(PAUSE_SECONDS)

    async def _first_word_of(self, wanted: str, pause: float) -> float:
        """Ask `production` until `wanted` answers: whom another would answer hangs up and asks again."""
        while True:
            reply = await self._chats.send(PROBE, keep=lambda model: model == wanted)
            if reply.model == wanted or reply.failure:
                self._seen.probes.append(reply)
            if reply.model == wanted and reply.first is not None:
                return reply.first
            self._seen.asked_again += 1
            await asyncio.sleep(pause)


async def play(url: str, versions: SwapVersions) -> Seen:
    """Saturation, then blocks without and with swaps in turn."""
    seen = Seen()
    async with Chats(url) as chats:
        await _until_served(chats, "v2")
        await chats.closed_loop(CLIENTS, 5.0, LOAD)
        began = time.monotonic()
        saturated = await chats.closed_loop(CLIENTS, SATURATION_SECONDS, LOAD)
        seen.rate = len(saturated) / (time.monotonic() - began) / 2
        swapping = Swapping(chats, versions, seen)
        for block in range(BLOCKS):
            seen.calm += await _under_load(swapping.calm(QUIET_SECONDS), chats, seen.rate)
            swaps = SWAPS * (block + 1) // BLOCKS - SWAPS * block // BLOCKS
            seen.swapping += await _under_load(swapping.block(swaps, 10), chats, seen.rate)
    return seen


async def _until_served(chats: Chats, model: str) -> None:
    async with asyncio.timeout(60):
        while (await chats.send(PROBE)).model != model:  # noqa: ASYNC110 - only asking tells
            await asyncio.sleep(0.1)


async def _under_load(work: Coroutine[Any, Any, None], chats: Chats, rate: float) -> list[Reply]:
    """What the open load was answered while `work` was done."""
    playing, pieces = asyncio.create_task(work), []
    while not playing.done():
        pieces.append(asyncio.create_task(chats.open_loop(rate, 1.0, LOAD)))
        await asyncio.wait({playing}, timeout=1.0)
    await playing
    return [reply for piece in pieces for reply in await piece]


def mixed(reply: Reply, versions: SwapVersions) -> bool:
    """Whether anything of a reply was not written by the model that its header names."""
    if reply.said_by - {reply.model}:
        return True
    if reply.model == "base":
        return any(2 * word in reply.text for word in versions.words)
    word = versions.said_by(reply.model)
    return reply.text != word * (len(reply.text) // len(word)) if reply.text else False


def figures(seen: Seen, versions: SwapVersions) -> Sequence[Figure]:
    failed = [reply for reply in seen.all if reply.failure or (reply.done and not reply.text)]
    mixed_up = [reply for reply in seen.all if not reply.failure and mixed(reply, versions)]
    lost = [one for one in seen.all if one.collected and not versions.store.conversations.get(one.conversation)]
    loads = versions.load_seconds()
    ordinary, bystanders, disturbed = _firsts(seen.calm_probes), _firsts(seen.calm), _firsts(seen.swapping)
    return [
        Figure("swaps and roll backs", float(len(seen.resident) + len(seen.new))),
        Figure("open load", seen.rate, "chats/s", 2 * seen.rate, "at saturation"),
        Figure("chats and probes sent", float(len(seen.all))),
        Figure("failed", float(len(failed)), target=NONE),
        Figure("mixed, by what they say", float(len(mixed_up)), target=NONE),
        Figure("acknowledged and not in the store", float(len(lost)), target=NONE),
        _compared("resident version: row to first word, p50", seen.resident, ordinary, "ordinary", 50),
        _compared("resident version: row to first word, p99", seen.resident, ordinary, "ordinary", 99, HALF_MORE),
        _compared("new version: row to first word, p50", seen.new, ordinary, "ordinary", 50),
        _compared("new version: row to first word, p99", seen.new, ordinary, "ordinary", 99),
        Figure("new version: load and canary, p50", 1000 * _rank(loads, 50), "ms"),
        Figure("new version: load and canary, p99", 1000 * _rank(loads, 99), "ms"),
        _compared("bystanders: due to first word, p50", disturbed, bystanders, "without swaps", 50),
        _compared("bystanders: due to first word, p99", disturbed, bystanders, "without swaps", 99, HALF_MORE),
    ]


def _compared(
    name: str, ours: Sequence[float], other: Sequence[float], other_name: str, rank: int, target: Target | None = None
) -> Figure:
    return Figure(name, 1000 * _rank(ours, rank), "ms", 1000 * _rank(other, rank), other_name, target)


def _firsts(replies: Sequence[Reply]) -> list[float]:
    return [seconds for reply in replies if (seconds := reply.seconds_to_first) is not None]


def _rank(values: Sequence[float], percent: int) -> float:
    """The smallest value that `percent` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def measure(settings: Settings) -> Report:
    """Adapters are made while the engine starts."""
    shutil.rmtree(settings.state_dir, ignore_errors=True)
    settings.state_dir.mkdir(parents=True)
    model = base_model.resolve(settings.base_model, settings.models_dir)
    forced = forced_words(model, base_model.fingerprint(model), NEW + 2, RESULTS / "forced-words.pt")
    versions = SwapVersions(settings, forced)
    versions.make([1, 2])
    for _ in range(2):
        versions.prepare_next()
        versions.conclude_next()
    ingress = [part for part in services(settings) if part.name == "ingress"]
    with interrupted_by_signals(), ThreadPoolExecutor(1) as beside:
        made = beside.submit(versions.make, range(3, NEW + 3))
        with Stack(settings, parts=ingress):
            made.result()
            seen = asyncio.run(play(pages(settings)["Whetstone"], versions))
        report = Report("swap", figures(seen, versions), details(seen, versions))
    versions.store.close()
    shutil.rmtree(settings.state_dir, ignore_errors=True)  # two gigabytes of adapters
    return report


def details(seen: Seen, versions: SwapVersions) -> dict[str, Any]:
    failures = Counter(reply.failure for reply in seen.all if reply.failure)
    return {
        "mixed": [
            (reply.asked, reply.model, sorted(reply.said_by), reply.text)
            for reply in seen.all
            if not reply.failure and mixed(reply, versions)
        ][:20],
        "failures": dict(failures.most_common(10)),
        "by_model": dict(Counter(reply.model for reply in seen.all)),
        "asked_again": seen.asked_again,
        "resident_seconds": sorted(seen.resident)[-20:],
        "new_seconds": sorted(seen.new)[-20:],
    }


def main() -> int:
    (port,) = free_ports(1)
    return measure(fresh_settings(RESULTS / "swap-state", fastapi_port=port)).finish()


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
