"""Near-duplicates: which conversations belong to one cluster, decided once, when each is placed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.duplicates import THRESHOLD, text_of
from core.shingles import Shingles, can_reach, jaccard, shingles
from resources.band_candidates import Candidates, candidates
from resources.bands import Bands, Texts
from resources.signatures import band_hashes

__all__ = ["THRESHOLD", "NearDuplicates", "Placed", "text_of"]

# what is worked on at once, for the sake of memory: it changes no result
PIECE_TEXTS: Final = 2_048
PIECE_CHARACTERS: Final = 2_000_000

Item = tuple[int, str]
Grams = NDArray[np.uint64]

NOTHING = np.zeros(0, np.uint64)


class Placed(NamedTuple):
    """`cluster`: the number of its first member. `near`: one member of every cluster it is near to, its own first."""

    cluster: int
    near: tuple[int, ...]


class NearDuplicates:
    """Places conversations one after the other; how they are cut into batches changes nothing.

    Two texts are near where their sets of character 5-grams have a Jaccard similarity of at least `threshold`. Who is
    near to several clusters joins the one with the lowest number, and the clusters stay apart.
    """

    def __init__(self, bands: Bands, texts: Texts, threshold: float = THRESHOLD) -> None:
        """`texts` gives the texts of conversations placed earlier, without those that are gone."""
        self._bands = bands
        self._texts = texts
        self._threshold = threshold
        self._prepared = False
        self.compared = 0

    def place(self, batch: Sequence[Item]) -> dict[int, Placed]:
        """Find the cluster of each new conversation, given as its number and text, and remember it."""
        here = dict(batch)
        if len(here) != len(batch):
            raise ValueError(f"Expected every conversation once, found {len(batch) - len(here)} repeated numbers")
        if not self._prepared:
            self._bands.prepare(self._texts)
            self._prepared = True
        placed: dict[int, Placed] = {}
        for piece in _pieces(batch):
            placed.update(self._place(piece, here))
        return placed

    def forget(self, seqs: Sequence[int]) -> None:
        """These conversations are erased; a cluster keeps its number when its first member goes."""
        self._bands.forget(seqs)

    def _place(self, piece: Sequence[Item], here: Mapping[int, str]) -> dict[int, Placed]:
        seqs = np.array([seq for seq, _ in piece], np.int64)
        sets = shingles([text for _, text in piece])
        hashes = band_hashes(sets)
        found = candidates(seqs, hashes, self._bands.find(np.unique(hashes)))
        placed = self._decide(found, sets, here)
        whole = {seq: placed.get(seq) or Placed(seq, ()) for seq, _ in piece}
        self._bands.add(found.added, {seq: of.cluster for seq, of in whole.items()})
        return whole

    def _decide(self, found: Candidates, sets: Shingles, here: Mapping[int, str]) -> dict[int, Placed]:
        """In the order of the piece, as the cluster of one may decide that of the next; only those with candidates."""
        seqs: list[int] = found.seqs.tolist()
        earlier = seqs[len(sets.starts) - 1 :]
        clusters = dict(self._bands.clusters(earlier))
        set_of = self._sets(sets, seqs, found, here)
        placed: dict[int, Placed] = {}
        for row, others in _by_row(found):
            near: dict[int, int] = {}
            for other in others:
                seq = seqs[other]
                cluster = clusters.get(seq, seq)
                if cluster not in near and self._are_near(set_of(row), set_of(other)):
                    near[cluster] = seq
            if near:
                placed[seqs[row]] = Placed(min(near), tuple(near[cluster] for cluster in sorted(near)))
                clusters[seqs[row]] = min(near)
        return placed

    def _are_near(self, one: Grams, other: Grams) -> bool:
        self.compared += 1
        return can_reach(one, other, self._threshold) and jaccard(one, other) >= self._threshold

    def _sets(
        self, sets: Shingles, seqs: Sequence[int], found: Candidates, here: Mapping[int, str]
    ) -> Callable[[int], Grams]:
        """The 5-grams of a row of `seqs`, made when first asked for; nothing for a text that is gone."""
        new = len(sets.starts) - 1
        wanted = [int(index) for index in np.unique(found.others) if index >= new]
        elsewhere = [seqs[index] for index in wanted if seqs[index] not in here]
        texts = {**self._texts(elsewhere), **here} if elsewhere else here
        there = [index for index in wanted if seqs[index] in texts]
        earlier = shingles([texts[seqs[index]] for index in there])
        position = {index: place for place, index in enumerate(there)}

        @cache
        def set_of(index: int) -> Grams:
            if index < new:
                return sets.of(index)
            return earlier.of(position[index]) if index in position else NOTHING

        return set_of


def _pieces(batch: Sequence[Item]) -> Iterator[Sequence[Item]]:
    start, characters = 0, 0
    for end, (_, text) in enumerate(batch):
        if end > start and (end - start == PIECE_TEXTS or characters + len(text) > PIECE_CHARACTERS):
            yield batch[start:end]
            start, characters = end, 0
        characters += len(text)
    if start < len(batch):
        yield batch[start:]


def _by_row(found: Candidates) -> Iterator[tuple[int, list[int]]]:
    pairs = zip(found.rows.tolist(), found.others.tolist(), strict=True)
    for row, group in groupby(pairs, key=itemgetter(0)):
        yield row, [other for _, other in group]
