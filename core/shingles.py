"""Texts as sets of hashed character 5-grams, many texts at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WIDTH = 5
# far beyond what a dataset admits; what follows is not looked at
LONGEST = 100_000

# odd numbers without any pattern, one for each place of a shingle and two to mix: a change of them changes every hash
_PLACES = tuple(
    np.uint64(number)
    for number in (
        0x9E3779B97F4A7C15,
        0xC2B2AE3D27D4EB4F,
        0x165667B19E3779F9,
        0xD6E8FEB86659FD93,
        0xFF51AFD7ED558CCD,
    )
)
_MIX = np.uint64(0xC4CEB9FE1A85EC53)
_HALF = np.uint64(32)


@dataclass(frozen=True)
class Shingles:
    """Text i has the hashes `hashes[starts[i]:starts[i + 1]]`, at least one, in their order and with repetitions."""

    hashes: NDArray[np.uint64]
    starts: NDArray[np.uint64]

    def of(self, index: int) -> NDArray[np.uint64]:
        """The set of one text: sorted, each hash once."""
        hashes = np.sort(self.hashes[int(self.starts[index]) : int(self.starts[index + 1])])
        first: NDArray[np.bool_] = np.concatenate(([True], hashes[1:] != hashes[:-1]))
        return hashes[first]


def shingles(texts: Sequence[str]) -> Shingles:
    """Every text's character 5-grams; one of fewer than five characters counts as one 5-gram."""
    padded = [text[:LONGEST].ljust(WIDTH, "\0") for text in texts]
    lengths = np.fromiter(map(len, padded), np.int64, len(padded))
    starts = np.zeros(len(padded) + 1, np.uint64)
    np.cumsum(lengths - (WIDTH - 1), out=starts[1:])
    if not padded:
        return Shingles(np.zeros(0, np.uint64), starts)
    characters = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint64)
    places = len(characters) - (WIDTH - 1)
    hashes = characters[:places] * _PLACES[0]
    for place in range(1, WIDTH):
        hashes += characters[place : place + places] * _PLACES[place]
    hashes ^= hashes >> _HALF
    hashes *= _MIX
    hashes ^= hashes >> _HALF
    # the last four places of every text but the last begin 5-grams that reach into the next
    ends = np.cumsum(lengths)[:-1, None]
    inside = np.ones(places, bool)
    inside[(ends - np.arange(1, WIDTH)).ravel()] = False
    return Shingles(hashes[inside], starts)


def jaccard(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> float:
    """What two sets as of `Shingles.of` share, of all they hold together: 1 for equal ones."""
    together = np.sort(np.concatenate((one, other)))
    shared = int(np.count_nonzero(together[1:] == together[:-1]))
    return shared / (len(together) - shared)


def can_reach(one: NDArray[np.uint64], other: NDArray[np.uint64], least: float) -> bool:
    """Whether sets of these sizes can have a Jaccard similarity of `least` at all."""
    small, large = sorted((len(one), len(other)))
    return small >= least * large
