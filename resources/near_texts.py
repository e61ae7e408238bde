"""Which of a few texts are near to any of many, which are read once and never held."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import islice

from core.duplicates import THRESHOLD
from core.shingles import can_reach, jaccard, shingles
from resources.signatures import band_hashes

PIECE_TEXTS = 256


def near_to(few: Sequence[str], many: Iterable[str], threshold: float = THRESHOLD) -> set[int]:
    """The places in `few` of those whose 5-grams have a Jaccard similarity of `threshold` with one of `many`."""
    if not few:
        return set()
    own = shingles(few)
    under: defaultdict[int, set[int]] = defaultdict(set)
    for place, hashes in enumerate(band_hashes(own).tolist()):
        for number in hashes:
            under[number].add(place)
    near: set[int] = set()
    every = iter(many)
    while piece := list(islice(every, PIECE_TEXTS)):
        others = shingles(piece)
        for row, hashes in enumerate(band_hashes(others).tolist()):
            found = set().union(*(under[number] for number in hashes if number in under)) - near
            other = others.of(row) if found else None
            for place in found:
                mine = own.of(place)
                if other is not None and can_reach(mine, other, threshold) and jaccard(mine, other) >= threshold:
                    near.add(place)
    return near
