"""What must not be in a dataset, looked for in the files themselves: 8 bytes in memory for each thing compared."""

import hashlib
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.duplicates import folded
from core.sides import SIDES, Side
from resources import datasets
from resources.reference_sets import GENERAL, read_set

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
    gate = np.array([text_number(one.last_user, one.reply) for one in read_set(GENERAL)], np.int64)
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
    for row in _rows(folder, side):
        numbers["ids"].append(_number(row["id"]))
        numbers["units"].append(_number(row["unit"]))
        numbers["texts"].append(text_number(_last_user(row), row["reply"]))
        if row["cluster"] is not None:
            numbers["clusters"].append(row["cluster"])
    return {kind: np.array(values, np.int64) for kind, values in numbers.items()}


def _rows(folder: Path, side: Side) -> Iterator[Mapping[str, Any]]:
    for batch in datasets.read_columns(folder, side, COLUMNS):
        yield from batch


def _last_user(row: Mapping[str, Any]) -> str:
    return next((message["content"] for message in reversed(row["messages"]) if message["role"] == "user"), "")


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


def _shared(sides: list[Numbers]) -> int:
    """How many distinct numbers stand on more than one side."""
    pairs = [np.intersect1d(one, other) for one, other in combinations(sides, 2)]
    return len(np.unique(np.concatenate(pairs)))
