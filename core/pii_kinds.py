"""The kinds of personal data, and one place where some was found."""

from bisect import bisect_left
from functools import partial
from operator import attrgetter, gt
from typing import NamedTuple

# a person can be named by one of these alone: masked before anything is stored
UNIQUE: frozenset[str] = frozenset({"rrn", "frn", "driver_licence", "passport", "card", "ssn", "secret"})
# how to reach a person: masked before any dataset
CONTACT: frozenset[str] = frozenset(
    {"business_number", "bank_account", "phone", "email", "ip_address", "address", "name"}
)
ALL: frozenset[str] = UNIQUE | CONTACT


class PersonalData(NamedTuple):
    """Found at `text[start:end]`; `certain` where a check digit or the words around it confirm the form."""

    kind: str
    start: int
    end: int
    certain: bool


class Text(NamedTuple):
    """What detectors read: dashes, digits and spaces made plain, and the same in lower case.

    `names` remembers by its place what a number is named.
    """

    plain: str
    lower: str
    names: dict[tuple[int, int], str]


class Run(NamedTuple):
    """Digits that stand together from `first` to `last`, `bare` where nothing is between them.

    Its form, the same with a 0 for each digit, begins at `start`: at a bracket before them, or a digit and a comma.
    """

    first: int
    last: int
    start: int
    bare: bool


class Hit(NamedTuple):
    """What a detector found in plain text; of two that overlap the lower `rank` stays."""

    kind: str
    start: int
    end: int
    certain: bool
    rank: int


_start, _end = attrgetter("start"), attrgetter("end")
# of their fields in one tuple: a third of what the constructor takes
_personal_data = partial(tuple.__new__, PersonalData)
text_of, run_of = partial(tuple.__new__, Text), partial(tuple.__new__, Run)


def without_overlaps(hits: list[Hit]) -> list[PersonalData]:
    """In the order of the text; the better rank wins, then the longer, then the earlier."""
    kept = hits
    if len(hits) > 1:
        kept = sorted(hits, key=_start)
        if any(map(gt, map(_end, kept), map(_start, kept[1:]))):
            kept = _outranking(hits)
    return [_personal_data(hit[:4]) for hit in kept]


def _outranking(hits: list[Hit]) -> list[Hit]:
    kept: list[Hit] = []
    for hit in sorted(hits, key=lambda hit: (hit.rank, hit.start - hit.end, hit.start)):
        # what is kept lies apart, so that only its neighbours can overlap: a text may hold very many
        at = bisect_left(kept, hit.start, key=_start) if kept else 0
        if (at == len(kept) or hit.end <= kept[at].start) and (at == 0 or kept[at - 1].end <= hit.start):
            kept.insert(at, hit)
    return kept
