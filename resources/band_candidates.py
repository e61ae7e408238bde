"""Which pairs of texts are worth comparing: those that share a band, a bounded number for each."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from resources.bands import Members

# under a hash only the first so many are remembered: one that more texts share tells no more than a stop word does
BUCKET: Final = 32
# what one text is compared with at most: those that share the most bands with it
CANDIDATES: Final = 32


class Candidates(NamedTuple):
    """`rows` and `others` are indexes into `seqs`: the new ones in their order, then the earlier ones found.

    Sorted by row; the likeliest other comes first. `added` is what is to be remembered of the new ones.
    """

    seqs: NDArray[np.int64]
    rows: NDArray[np.int64]
    others: NDArray[np.int64]
    added: Members


def candidates(seqs: NDArray[np.int64], hashes: NDArray[np.int64], known: Members) -> Candidates:
    """`hashes` has a row for each of the new `seqs`; `known` are all that were placed before under any of them."""
    earlier, known_index = np.unique(known.seqs, return_inverse=True)
    new = np.repeat(np.arange(len(seqs)), hashes.shape[1])
    everyone = np.concatenate([seqs, earlier])
    entries = np.concatenate([known_index + len(seqs), new])
    under = np.concatenate([known.hashes, hashes.ravel()])
    order = np.argsort(under, kind="stable")
    entries, under = entries[order], under[order]
    first, rank = _places(under)
    is_new = entries < len(seqs)
    kept = is_new & (rank < BUCKET)
    rows, others = _pairs(entries, first, np.where(is_new, np.minimum(rank, BUCKET), 0))
    rows, others = _likeliest(everyone, rows, others)
    return Candidates(everyone, rows, others, Members(under[kept], everyone[entries[kept]]))


def _places(under: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For every entry: where its hash begins, and how many stand before it there."""
    if not len(under):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    begins = np.flatnonzero(np.concatenate([[True], under[1:] != under[:-1]]))
    first = np.repeat(begins, np.diff(np.concatenate([begins, [len(under)]])))
    return first, np.arange(len(under)) - first


def _pairs(
    entries: NDArray[np.int64], first: NDArray[np.int64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every entry with the first `counts` under its hash."""
    where = np.repeat(np.arange(len(entries)), counts)
    within = np.arange(len(where)) - np.repeat(np.cumsum(counts) - counts, counts)
    return entries[where], entries[first[where] + within]


def _likeliest(
    everyone: NDArray[np.int64], rows: NDArray[np.int64], others: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each pair once, at most CANDIDATES a row: those that share the most bands, of equals the lowest number."""
    keys, shared = np.unique(rows * len(everyone) + others, return_counts=True)
    rows, others = np.divmod(keys, max(len(everyone), 1))
    other_people = everyone[rows] != everyone[others]
    rows, others, shared = rows[other_people], others[other_people], shared[other_people]
    order = np.lexsort((everyone[others], -shared, rows))
    rows, others = rows[order], others[order]
    kept = _places(rows)[1] < CANDIDATES
    return rows[kept], others[kept]
