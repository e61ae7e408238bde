"""What must not be in a dataset, looked for in the files themselves: 8 bytes in memory for each thing compared."""

import hashlib
from array import array
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from core.duplicates import folded
from core.sides import SIDES, Side
from resources import datasets
from resources.reference_sets import gate_items

COLUMNS = ("id", "unit", "cluster", "messages", "reply")
KINDS = ("ids", "units", "texts", "clusters")

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Leaks:
    """`shared` counts what lies on two sides, by kind; `contaminated` conversations are the gate's own."""

    rows: dict[Side, int]
    shared: dict[str, int]
    duplicates: int
    contaminated: int


def look_at(folder: Path) -> Leaks:
    """Read every file of the dataset once; FolderRefused where one is not what was written."""
    gate = np.array([text_number(one.last_user, one.reply) for one in gate_items()], np.int64)
    found = {side: _numbers(folder, side) for side in SIDES}
    texts = np.concatenate([found[side]["texts"] for side in SIDES])
    return Leaks(
        rows={side: len(found[side]["ids"]) for side in SIDES},
        shared={kind: _shared([found[side][kind] for side in SIDES]) for kind in KINDS},
        duplicates=len(texts) - len(np.unique(texts)),
        contaminated=int(np.isin(texts, gate).sum()),
    )


def text_number(question: str, reply: str) -> int:
    """64 bits of the folded pair: equal for what `core.duplicates.exact_hash` calls equal."""
    return _number(f"{folded(question)}\0{folded(reply)}")


def _numbers(folder: Path, side: Side) -> dict[str, Numbers]:
    numbers = {kind: array("q") for kind in KINDS}
    for batch in datasets.read_batches(folder, side, COLUMNS):
        numbers["ids"].extend(map(_number, batch["id"].to_pylist()))
        numbers["units"].extend(map(_number, batch["unit"].to_pylist()))
        numbers["texts"].extend(map(text_number, last_questions(batch["messages"]), batch["reply"].to_pylist()))
        numbers["clusters"].extend(batch["cluster"].drop_null().to_pylist())
    return {kind: np.array(values, np.int64) for kind, values in numbers.items()}


def last_questions(messages: pa.ListArray) -> list[str]:
    """Of each conversation what its user said last, or nothing."""
    ends = messages.offsets.to_numpy()[1:] - messages.offsets[0].as_py()
    turns = messages.flatten()
    asked = np.flatnonzero(np.array(pc.equal(turns.field("role"), "user")))
    # the last one before the end of each, which is another's where there is none
    last = np.searchsorted(asked, ends) - 1
    begins = np.concatenate([[0], ends[:-1]])
    own = (last >= 0) & (asked[np.maximum(last, 0)] >= begins) if len(asked) else np.zeros(len(ends), bool)
    texts = turns.field("content").take(pa.array(asked[last[own]])).to_pylist() if own.any() else []
    found = iter(texts)
    return [next(found) if has else "" for has in own.tolist()]


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


def _shared(sides: list[Numbers]) -> int:
    """How many distinct numbers stand on more than one side."""
    pairs = [np.intersect1d(one, other) for one, other in combinations(sides, 2)]
    return len(np.unique(np.concatenate(pairs)))
