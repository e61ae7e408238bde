"""What was found against what was labelled, kind by kind; the same rule for whoever found it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from bench.pii_turns import Turn

Found = tuple[str, int, int]  # kind, start, end


@dataclass
class Score:
    """Counts by kind: labelled values, those found whole, and what was found."""

    labelled: Counter[str] = field(default_factory=Counter)
    hit: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)

    def recall(self, kinds: Iterable[str]) -> float | None:
        return _share(self.hit, self.labelled, kinds)

    def precision(self, kinds: Iterable[str]) -> float | None:
        return _share(self.right, self.found, kinds)


def score(turns: Sequence[Turn], found: Sequence[Sequence[Found]]) -> Score:
    """A value counts as found where something of its kind covers it and no more than two characters beside it."""
    total = Score()
    for turn, ours in zip(turns, found, strict=True):
        total.labelled.update(label.kind for label in turn.labels)
        total.found.update(kind for kind, _, _ in ours)
        for label in turn.labels:
            mine = {(k, a, b) for k, a, b in ours if k == label.kind and _covers(a, b, label.start, label.end)}
            total.hit[label.kind] += bool(mine)
            total.right[label.kind] += len(mine)
    return total


def _covers(start: int, end: int, first: int, last: int) -> bool:
    return start <= first and last <= end and (first - start) + (end - last) <= 2


def _share(part: Counter[str], whole: Counter[str], kinds: Iterable[str]) -> float | None:
    kinds = tuple(kinds)
    total = sum(whole[kind] for kind in kinds)
    return sum(part[kind] for kind in kinds) / total if total else None
