"""Who stands under which band hash, in memory."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Texts = Callable[[Sequence[int]], Mapping[int, str]]

# runs are merged up to this size, so that a merge needs little memory besides
LARGEST_RUN = 2_000_000


class Members(NamedTuple):
    """Pairs of a band hash and a conversation's number."""

    hashes: NDArray[np.int64]
    seqs: NDArray[np.int64]

    def in_order(self) -> "Members":
        """By hash; what was first under a hash stays first."""
        order = np.argsort(self.hashes, kind="stable")
        return Members(self.hashes[order], self.seqs[order])


NOBODY = Members(np.zeros(0, np.int64), np.zeros(0, np.int64))


def joined(parts: Iterable[Members]) -> Members:
    """All of them, an earlier part's first under every hash."""
    kept = [part for part in parts if len(part.hashes)]
    if len(kept) < 2:
        return kept[0] if kept else NOBODY
    return Members(np.concatenate([p.hashes for p in kept]), np.concatenate([p.seqs for p in kept])).in_order()


class Bands(Protocol):
    """The conversations placed so far, under their band hashes."""

    def prepare(self, texts: Texts) -> None:
        """Called before the first look-up; `texts` gives the texts of conversations placed earlier."""
        ...

    def find(self, hashes: NDArray[np.int64]) -> Members:
        """Who stands under these sorted, distinct hashes, by hash and then in the order they were placed."""
        ...

    def clusters(self, seqs: Iterable[int]) -> Mapping[int, int]:
        """The cluster of each of these, all of which `find` has named."""
        ...

    def add(self, members: Members, clusters: Mapping[int, int]) -> None:
        """Remember members placed now; `clusters` names all that were placed, in their order."""
        ...

    def forget(self, seqs: Collection[int]) -> None:
        """These conversations are erased."""
        ...


class MemoryBands:
    """Sorted runs, 16 bytes a member; a new one is merged with those before it that are no larger."""

    def __init__(self) -> None:
        self._runs: list[Members] = []
        self._clusters: dict[int, int] = {}

    def prepare(self, texts: Texts) -> None:
        """Nothing: it was made in this process."""

    def find(self, hashes: NDArray[np.int64]) -> Members:
        return joined(under(run, hashes) for run in self._runs)

    def clusters(self, seqs: Iterable[int]) -> dict[int, int]:
        return {seq: self._clusters.get(seq, seq) for seq in seqs}

    def add(self, members: Members, clusters: Mapping[int, int]) -> None:
        self._clusters.update((seq, cluster) for seq, cluster in clusters.items() if seq != cluster)
        if not len(members.hashes):
            return
        merged = number_to_merge([len(run.hashes) for run in self._runs], len(members.hashes))
        kept = len(self._runs) - merged
        self._runs[kept:] = [joined([*self._runs[kept:], members.in_order()])]

    def forget(self, seqs: Collection[int]) -> None:
        gone = np.fromiter(seqs, np.int64)
        kept = [without(run, gone) for run in self._runs]
        self._runs = [run for run in kept if len(run.hashes)]
        for seq in seqs:
            self._clusters.pop(seq, None)


def under(run: Members, hashes: NDArray[np.int64]) -> Members:
    """The members of a sorted run under any of these hashes."""
    first = np.searchsorted(run.hashes, hashes, "left")
    counts = np.searchsorted(run.hashes, hashes, "right") - first
    total = int(counts.sum())
    if not total:
        return NOBODY
    within = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
    where = np.repeat(first, counts) + within
    return Members(run.hashes[where], run.seqs[where])


def without(run: Members, gone: NDArray[np.int64]) -> Members:
    """The members that are none of these conversations."""
    stays = ~np.isin(run.seqs, gone)
    return Members(run.hashes[stays], run.seqs[stays])


def number_to_merge(sizes: Sequence[int], new: int) -> int:
    """How many of the last runs a new one is merged with, so that few runs stay and each member moves seldom."""
    number = 0
    for size in reversed(sizes):
        if size > 2 * new or size + new > LARGEST_RUN:
            break
        number, new = number + 1, new + size
    return number
