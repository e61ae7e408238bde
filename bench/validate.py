"""All that validated_dataset does to 100,000 conversations, beside its unavoidable parts: tokenising, masking, MinHash.

BENCH_MILLION=1 puts a million brief ones through it as well, a sentence and a reply each. Each measurement is a process
of its own, so that its peak of memory is its own; the parts are measured before and after the whole, so that a machine
that is busy is busy for both.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from bench.chat_data import conversations
from bench.report import RESULTS, Figure, Report, Target
from core.conversation import Conversation
from core.duplicates import text_of
from core.live_settings import LiveSettings
from core.pii import mask_personal
from resources import base_model, dataset_page, expectations
from resources.bands import MemoryBands
from resources.chat_tokenizer import ChatTokenizer, chat_tokenizer
from resources.dataset_statistics import statistics
from resources.near_duplicates import NearDuplicates
from resources.screening import PIECE, Screener, make_dataset, rejections
from resources.settings import ROOT, read_settings
from resources.store import Store, open_store
from resources.token_counts import token_counts

NUMBER = 100_000
MILLION = 1_000_000
WORK = RESULTS / "validate"
PARTS = ("tokenising", "personal data", "MinHash")
LEAST_RATIO, MOST_MIB = 0.6, 1024
# what the engine takes by default: hardly a conversation is longer
MOST_TOKENS = 2048


def main() -> int:
    number = int(os.environ.get("BENCH_ROWS", NUMBER))
    try:
        before = measured("parts", number)
        whole = measured("whole", number)
        parts = mean(before, measured("parts", number))
        figures = of_whole(whole, parts)
        if os.environ.get("BENCH_MILLION") == "1":
            figures += of_million(measured("whole", MILLION))
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
    return Report("validate", figures, {"whole": whole, "parts": parts}).finish()


def of_whole(whole: dict[str, float], parts: dict[str, float]) -> list[Figure]:
    rows = whole["rows"]
    alone = sum(parts[name] for name in PARTS)
    great_expectations = whole["import of Great Expectations"] + whole["Great Expectations"]
    return [
        Figure(
            "conversations validated a second", rows / whole["seconds"], "/s", rows / alone, "its three parts alone",
            Target(at_least=LEAST_RATIO, of_ratio=True),
        ),
        Figure("seconds of the whole", whole["seconds"], "s", alone, "its three parts alone"),
        *(Figure(f"{name} alone", parts[name] / rows * 1e6, "us each") for name in PARTS),
        *(
            Figure(name, whole[name] / rows * 1e6, "us each")
            for name in ("screening and files", "leaks", "statistics", "page")
        ),
        Figure("Great Expectations' share", 100 * great_expectations / whole["seconds"], "%"),
        Figure("peak memory", whole["peak MiB"], "MiB", target=Target(at_most=MOST_MIB)),
    ]  # fmt: skip


def of_million(whole: dict[str, float]) -> list[Figure]:
    return [
        Figure("a million: conversations a second", whole["rows"] / whole["seconds"], "/s"),
        Figure("a million: seconds", whole["seconds"], "s"),
        Figure("a million: peak memory", whole["peak MiB"], "MiB"),
        Figure("a million: in the dataset", whole["accepted"], target=Target(at_least=1)),
    ]


def mean(*measurements: dict[str, float]) -> dict[str, float]:
    return {name: sum(one[name] for one in measurements) / len(measurements) for name in measurements[0]}


def measured(what: str, number: int) -> dict[str, float]:
    """What a process of its own measured."""
    if not store_file(number).is_file():
        run("prepare", number)
    run(what, number)
    found: dict[str, float] = json.loads((WORK / f"{what}.json").read_text(encoding="utf-8"))
    print(f"{what}, {number:,}: {', '.join(f'{name} {value:,.1f}' for name, value in found.items())}", flush=True)
    return found


def run(what: str, number: int) -> None:
    subprocess.run([sys.executable, "-m", "bench.validate", what, str(number)], check=True)


def store_file(number: int) -> Path:
    return WORK / f"{number}.db"


def prepare(number: int) -> None:
    """A store in which that many conversations wait."""
    WORK.mkdir(parents=True, exist_ok=True)
    aside = store_file(number).with_suffix(".tmp")
    store = opened(aside)
    for batch in batches(conversations(number, brief=number >= MILLION)):
        store.conversations.capture(batch)
    store.database.forget_deleted()
    store.close()
    aside.rename(store_file(number))


def whole(number: int) -> dict[str, float]:
    """What validated_dataset does, one step after the other as the asset does it."""
    from assets.checks import dataset_checks

    copy = WORK / "whole.db"
    shutil.copy(store_file(number), copy)
    store, dataset, reports = opened(copy), WORK / "dataset", WORK / "reports"
    shutil.rmtree(dataset, ignore_errors=True)
    claim = store.versions.claim("bench")
    assert claim is not None
    settings = read_settings()
    screener = Screener(tokenizer(), MOST_TOKENS, settings.caps())
    clock = Clock()
    manifest = make_dataset(store, claim, dataset, screener)
    clock.lap("screening and files")
    failed = [one.check_name for one in dataset_checks(dataset, settings.gate_min_held_out) if not one.passed]
    clock.lap("leaks")
    found = statistics(dataset, claim.n, manifest.counts)
    clock.lap("statistics")
    import great_expectations  # noqa: F401 - to see what its import costs

    clock.lap("import of Great Expectations")
    outcomes = expectations.run(dataset, manifest, screener.max_tokens)
    clock.lap("Great Expectations")
    dataset_page.write(reports, found, rejections(manifest), outcomes)
    clock.lap("page")
    failed += [one.name for one in outcomes if not one.passed]
    assert not failed, f"Expected a sound dataset, found {failed}"
    store.close()
    return clock.laps | {
        "seconds": sum(clock.laps.values()),
        "rows": float(manifest.counts["claimed"]),
        "accepted": float(manifest.counts["accepted"]),
        "peak MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def parts(number: int) -> dict[str, float]:
    """Each part over all conversations, with what it needs at hand."""
    counter, bands = tokenizer(), MemoryBands()
    seconds = dict.fromkeys(PARTS, 0.0)
    texts: dict[int, str] = {}
    near = NearDuplicates(bands, lambda seqs: {seq: texts[seq] for seq in seqs})
    first = 0
    for batch in batches(conversations(number)):
        masked = timed(seconds, "personal data", lambda batch=batch: [mask_personal(one, None)[0] for one in batch])
        timed(seconds, "tokenising", lambda masked=masked: token_counts(masked, counter))
        numbers = range(first, first + len(batch))
        timed(seconds, "MinHash", lambda masked=masked, numbers=numbers: place(near, texts, numbers, masked))
        first += len(batch)
    return seconds


def place(near: NearDuplicates, texts: dict[int, str], numbers: range, masked: list[Conversation]) -> None:
    """What is compared is folded text."""
    named = list(zip(numbers, map(text_of, masked), strict=True))
    texts.update(named)
    near.place(named)


def timed(seconds: dict[str, float], name: str, work: Callable[[], Any]) -> Any:
    began = time.perf_counter()
    result = work()
    seconds[name] += time.perf_counter() - began
    return result


class Clock:
    """Seconds from lap to lap."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name], self._last = now - self._last, now


def batches(made: Iterator[Conversation]) -> Iterator[list[Conversation]]:
    """As many at once as screening takes."""
    while batch := list(islice(made, PIECE)):
        yield batch


def opened(path: Path) -> Store:
    return open_store(f"sqlite:///{path}", live_defaults=LiveSettings(), lineage="bench")


def tokenizer() -> ChatTokenizer:
    settings = read_settings()
    return chat_tokenizer(base_model.resolve(settings.base_model, settings.models_dir))


if __name__ == "__main__":
    os.chdir(ROOT)
    if len(sys.argv) == 1:
        sys.exit(main())
    work, number = sys.argv[1], int(sys.argv[2])
    if work == "prepare":
        prepare(number)
    else:
        result = {"whole": whole, "parts": parts}[work](number)
        (WORK / f"{work}.json").write_text(json.dumps(result), encoding="utf-8")
