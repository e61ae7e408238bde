"""How well near-duplicates are found, how fast beside datasketch, and what a little more costs.

`.venv/bin/python -m bench.dedupe`; both sides work on one core, with the same bands and the same verification.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, update

from bench.near_texts import Made, made
from bench.near_truth import Truth, f1, together, truth
from bench.peers import environment
from bench.report import RESULTS, Figure, Report, Target
from core.live_settings import LiveSettings
from resources.band_rows import BandRows
from resources.bands import MemoryBands
from resources.near_duplicates import THRESHOLD, NearDuplicates, Placed
from resources.settings import ROOT
from resources.store import Store, open_store
from resources.tables import conversations, utc_now, versions

F1 = Target(at_least=0.97)
FASTER = Target(at_least=5)
SHARE = Target(at_most=0.03)

LABELLED, SPEED, STORED = 6_000, 20_000, 100_000
# as screening does it: so many conversations in one transaction
PIECE = 1_000
ADDITIONS = 10
BINS = (0.80, 0.85, 0.90, 0.95, 1.01)

Item = tuple[int, str]


def quality() -> tuple[list[Figure], dict[str, Any]]:
    """Both against the truth of all pairs."""
    texts = made(LABELLED, seed=1, variants=0.5)
    known = truth([one.text for one in texts], THRESHOLD)
    ours = in_memory(texts)[1]
    clusters = [ours[at].cluster for at in range(len(texts))]
    near = {at for at in range(len(texts)) if ours[at].near}
    theirs = datasketch(texts)["near"]
    their_near = {at for at, (_, other) in enumerate(theirs) if other is not None}
    pairs = together(known.cluster)
    figures = [
        Figure(
            f"F1 of near-duplicates recognised, {name}",
            f1({at for at in near if at in of}, {at for at in wanted(known) if at in of}),
            other=f1({at for at in their_near if at in of}, {at for at in wanted(known) if at in of}),
            other_name="datasketch",
            target=F1,
        )
        for name, of in languages(texts).items()
    ]
    figures += [
        Figure(
            "F1 of pairs in one cluster",
            f1(together(clusters), pairs),
            other=f1(together([cluster for cluster, _ in theirs]), pairs),
            other_name="datasketch",
            target=F1,
        ),
        *(Figure(f"found of those as near as {name}", share) for name, share in recall(known, near).items()),
        Figure(f"taken wrongly, of {hard(known)} just below {THRESHOLD}", float(len(near - wanted(known)))),
    ]
    return figures, {"near_in_truth": len(wanted(known)), "texts": len(texts)}


def wanted(known: Truth) -> set[int]:
    """The texts that are near an earlier one in truth."""
    return {at for at, best in enumerate(known.best) if best >= THRESHOLD}


def languages(texts: Sequence[Made]) -> dict[str, set[int]]:
    parts = {name: {at for at, one in enumerate(texts) if one.language == name} for name in ("ko", "en")}
    return {"all": parts["ko"] | parts["en"], **parts}


def recall(known: Truth, near: set[int]) -> dict[str, float]:
    """The share that was found, by the similarity to the nearest earlier text."""
    shares = {}
    for low, high in pairwise(BINS):
        those = {at for at, best in enumerate(known.best) if low <= best < high}
        shares[f"{low:.2f} to {min(high, 1):.2f}"] = len(those & near) / max(1, len(those))
    return shares


def hard(known: Truth) -> int:
    """Texts just below the threshold."""
    return sum(THRESHOLD - 0.15 <= best < THRESHOLD for best in known.best)


def in_memory(texts: Sequence[Made]) -> tuple[float, Mapping[int, Placed]]:
    items = [(at, one.text) for at, one in enumerate(texts)]
    began = time.perf_counter()
    placed = NearDuplicates(MemoryBands(), lambda seqs: {}).place(items)
    return time.perf_counter() - began, placed


def datasketch(texts: Sequence[Made]) -> dict[str, Any]:
    """Its clusters, and the seconds it took, start and reading left out."""
    command = [environment("datasketch"), Path(__file__).with_name("peer_datasketch.py"), str(THRESHOLD)]
    said = json.dumps([one.text for one in texts])
    done = subprocess.run(command, input=said, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def speed() -> list[Figure]:
    texts = made(SPEED, seed=2, variants=0.1)
    ours = in_memory(texts)[0]
    theirs = datasketch(texts)["seconds"]
    ours = min(ours, in_memory(texts)[0])
    return [
        Figure(
            f"texts a second, {SPEED:,} texts",
            SPEED / ours,
            "/s",
            SPEED / theirs,
            "datasketch",
            Target(at_least=FASTER.at_least, of_ratio=True),
        )
    ]


def growth() -> list[Figure]:
    """What 1 % more costs beside the whole, with the bands in the store and in memory."""
    items = [(at, one.text) for at, one in enumerate(made(STORED + STORED // 100 * ADDITIONS, 3, 0.05), start=1)]
    known = dict(items)
    folder = RESULTS / "dedupe-state"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    store = open_store(f"sqlite:///{folder / 'whetstone.db'}", live_defaults=LiveSettings())
    try:
        store.database.write(lambda c: fill(c, len(items)))
        stored = [place_in(store, part, known) for part in parts(items)]
    finally:
        store.close()
        shutil.rmtree(folder)
    near = NearDuplicates(MemoryBands(), lambda seqs: {seq: known[seq] for seq in seqs})
    memory = [timed(near, part) for part in parts(items)]
    return [*shares("in the store", stored), *shares("in memory", memory)]


def parts(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """The whole, then 1 % of it, several times."""
    yield items[:STORED]
    one = STORED // 100
    yield from (items[start : start + one] for start in range(STORED, len(items), one))


def shares(where: str, seconds: Sequence[float]) -> list[Figure]:
    whole, *more = seconds
    mean = sum(more) / len(more)
    return [
        Figure(f"{STORED:,} texts, bands {where}", whole, "s"),
        Figure(f"1 % more, as a share, bands {where}", mean / whole, target=SHARE),
        Figure(f"the slowest of {len(more)} such", max(more) / whole),
    ]


def timed(near: NearDuplicates, batch: Sequence[Item]) -> float:
    began = time.perf_counter()
    near.place(batch)
    return time.perf_counter() - began


def place_in(store: Store, batch: Sequence[Item], known: Mapping[int, str]) -> float:
    """Seconds, every piece committed with its clusters."""

    def work(connection: Connection, piece: Sequence[Item]) -> None:
        placed = NearDuplicates(BandRows(connection), lambda seqs: {seq: known[seq] for seq in seqs}).place(piece)
        statement = "UPDATE conversations SET cluster = ? WHERE seq = ?"
        connection.exec_driver_sql(statement, [(found.cluster, seq) for seq, found in placed.items()])

    began = time.perf_counter()
    for start in range(0, len(batch), PIECE):
        store.database.write(lambda c, start=start: work(c, batch[start : start + PIECE]))  # type: ignore[misc]
    return time.perf_counter() - began


def fill(connection: Connection, number: int) -> None:
    """As many conversations, all of one version, without their texts."""
    now = utc_now()
    row: dict[str, Any] = {"source": "bench", "provenance": "human", "complete": True, "eligible": True}
    row |= {"created_at": now, "recorded_at": now, "findings": [], "rejected": False}
    version: dict[str, Any] = {"n": 1, "state": "promoted", "desired": "run", "method": "lora", "base_fingerprint": ""}
    version |= {"fence": 1, "beat": 1, "released": True, "attempts": 1, "settings": {}, "counts": {}, "training": {}}
    connection.execute(insert(versions).values(**version, created_at=now, started_at=now))
    for start in range(1, number + 1, 10_000):
        names = range(start, min(start + 10_000, number + 1))
        connection.execute(insert(conversations), [{**row, "id": f"c{at}", "hash": f"{at:064d}"} for at in names])
    connection.execute(update(conversations).values(version=1))


def main() -> int:
    os.environ["RAYON_NUM_THREADS"] = "1"
    figures, details = quality()
    return Report("dedupe", [*figures, *speed(), *growth()], details).finish()


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
