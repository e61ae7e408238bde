"""Who stands under which band hash, in memory."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

# runs are merged up to this size, so that a merge needs little memory besides
LARGEST_RUN = 4_000_000


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

    def find(self, hashes: NDArray[np.int64]) -> Members:
        """Who stands under these sorted, distinct hashes, by hash and then in the order they were placed."""
        ...

    def clusters(self, seqs: Iterable[int]) -> Mapping[int, int]:
        """The cluster of each of these, all of which `find` has named."""
        ...

    def add(self, members: Members, clusters: Mapping[int, int]) -> None:
        """Remember members placed now, and the clusters of those that are not their own cluster's first."""
        ...

    def forget(self, seqs: Collection[int]) -> None:
        """These conversations are erased."""
        ...


class MemoryBands:
    """Sorted runs, 16 bytes a member; a new one is merged with those before it that are no larger."""

    def __init__(self) -> None:
        self._runs: list[Members] = []
        self._clusters: dict[int, int] = {}

    def find(self, hashes: NDArray[np.int64]) -> Members:
        return joined(_under(run, hashes) for run in self._runs)

    def clusters(self, seqs: Iterable[int]) -> dict[int, int]:
        return {seq: self._clusters.get(seq, seq) for seq in seqs}

    def add(self, members: Members, clusters: Mapping[int, int]) -> None:
        self._clusters.update(clusters)
        if not len(members.hashes):
            return
        self._runs.append(members.in_order())
        while len(self._runs) > 1 and _worth_merging(*self._runs[-2:]):
            self._runs[-2:] = [joined(self._runs[-2:])]

    def forget(self, seqs: Collection[int]) -> None:
        gone = np.fromiter(seqs, np.int64)
        kept = [_without(run, gone) for run in self._runs]
        self._runs = [run for run in kept if len(run.hashes)]
        for seq in seqs:
            self._clusters.pop(seq, None)

    def runs(self) -> Sequence[Members]:
        """Everything remembered, in sorted pieces."""
        return tuple(self._runs)


def _under(run: Members, hashes: NDArray[np.int64]) -> Members:
    first = np.searchsorted(run.hashes, hashes, "left")
    counts = np.searchsorted(run.hashes, hashes, "right") - first
    total = int(counts.sum())
    if not total:
        return NOBODY
    within = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
    where = np.repeat(first, counts) + within
    return Members(run.hashes[where], run.seqs[where])


def _without(run: Members, gone: NDArray[np.int64]) -> Members:
    stays = ~np.isin(run.seqs, gone)
    return Members(run.hashes[stays], run.seqs[stays])


def _worth_merging(older: Members, newer: Members) -> bool:
    sizes = len(older.hashes), len(newer.hashes)
    return sizes[0] <= 2 * sizes[1] and sum(sizes) <= LARGEST_RUN
