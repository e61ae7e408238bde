"""What people said of replies, as preference training takes it: masked like a dataset, of the side that is trained on.

A corrected reply lies in the dataset as a conversation of its own; the reply it was put in place of is read from the
store. Praised replies lie in the dataset too. Blamed ones are in no dataset: of these, only what a user or thread wrote
whose side is known to be the training side, that screening did not reject, that holds nobody's number, that is near to
nothing held out or validated with, whoever wrote that, and that the gate does not measure with.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, or_, select

from core.conversation import Conversation
from core.decontamination import GatePrompts
from core.duplicates import text_of
from core.formats_out import export
from core.pii import Recogniser, mask_personal
from core.pseudonyms import Pseudonyms
from core.reading import read_conversation
from core.sides import unit_names
from resources.conversation_rows import (
    BLAMED_RATING,
    CHUNK,
    conversation_of,
    is_held_back,
    is_positive,
    with_texts,
)
from resources.near_texts import near_to
from resources.reference_sets import gate_items
from resources.screening_rows import unit_sides
from resources.store import Store
from resources.tables import conversations

MOST_PER_USER = 20

_CORRECTED = re.compile(r"(?P<original>.+)\.corrected(\.\d+)?")


@dataclass(frozen=True)
class Least:
    """Below these numbers, chance is learned rather than what people want."""

    corrections: int
    ratings: int
    blamed: int


def corrections(store: Store, trained: Sequence[Conversation], recognise: Recogniser | None) -> list[dict[str, Any]]:
    """DPO's records of corrected replies among `trained`: prompt, the correction as chosen, the reply as rejected."""
    names = store.pseudonyms()
    originals = {one.id: names.id(match["original"]) for one in trained if (match := _CORRECTED.fullmatch(one.id))}
    wanted = set(originals.values())
    known = {names.id(row.id): row for row in store.database.read(lambda c: _corrected(c, names, wanted))}
    found = []
    for one in trained:
        row = known.get(originals.get(one.id, ""))
        if row is None or is_held_back(row):
            continue
        before, _ = mask_personal(conversation_of(row), recognise)
        if before.messages == one.messages:  # a review may have changed the question as well
            found.append(export("dpo", before, corrected=one.reply).record)
    return [record for record in found if record is not None]


def ratings(
    store: Store,
    trained: Sequence[Conversation],
    recognise: Recogniser | None,
    kept_apart: Iterable[Conversation] = (),
    golden: Sequence[Conversation] = (),
) -> list[dict[str, Any]]:
    """KTO's records: praised replies among `trained`, and blamed ones from the store; prompt, completion, label.

    `kept_apart` are the held-out and validation conversations, masked, `golden` what people measure with beside the
    gate's own.
    """
    rated = store.database.read(_rated)
    names = store.pseudonyms()
    praised = {names.id(row.id) for row in rated if is_positive(row.rating, row.thumb)}
    liked = [export("kto", one, liked=True).record for one in trained if names.id(one.id) in praised]
    disliked_rows = [row for row in rated if _is_blamed(row)]
    blamed = store.database.read(lambda c: _of_the_training_side(c, disliked_rows, recognise))
    near = near_to([text_of(one) for one in blamed], map(text_of, kept_apart))
    blamed = [one for place, one in enumerate(blamed) if place not in near]
    disliked = [export("kto", one, liked=False).record for one in _fair(blamed, golden)]
    return [record for record in (*liked, *disliked) if record is not None]


def too_few(method: str, records: Sequence[Mapping[str, Any]], least: Least) -> str | None:
    """Why these are not trained on; None where they are enough."""
    if method == "dpo":
        enough = len(records) >= least.corrections
        wanted, found = f"{least.corrections} corrected replies", str(len(records))
    else:
        blamed = sum(not record["label"] for record in records)
        praised = len(records) - blamed
        enough = len(records) >= least.ratings and blamed >= least.blamed and praised > 0
        wanted = f"{least.ratings} rated replies, {least.blamed} blamed and one praised among them"
        found = f"{praised} praised and {blamed} blamed"
    return None if enough else f"Expected at least {wanted}, found {found}: it is trained without them"


def _corrected(connection: Connection, names: Pseudonyms, wanted: Collection[str]) -> list[Row[Any]]:
    """The originals that a dataset names so."""
    query = select(conversations.c.id).where(conversations.c.id.like("%.corrected%"))
    corrections = connection.execute(query).scalars() if wanted else ()
    originals = {match["original"] for id in corrections if (match := _CORRECTED.fullmatch(id))}
    return _rows(connection, (id for id in originals if names.id(id) in wanted))


def _rows(connection: Connection, ids: Iterable[str]) -> list[Row[Any]]:
    wanted = sorted(ids)
    pieces = [wanted[start : start + CHUNK] for start in range(0, len(wanted), CHUNK)]
    return [row for piece in pieces for row in connection.execute(with_texts().where(conversations.c.id.in_(piece)))]


def _rated(connection: Connection) -> Sequence[Row[Any]]:
    said = or_(conversations.c.rating.is_not(None), conversations.c.thumb.is_not(None))
    taken = said & conversations.c.complete & ~conversations.c.rejected
    return connection.execute(with_texts().where(taken).order_by(conversations.c.seq)).all()


def _is_blamed(row: Row[Any]) -> bool:
    return row.thumb == -1 or (row.rating is not None and row.rating <= BLAMED_RATING)


def _of_the_training_side(
    connection: Connection, rows: Sequence[Row[Any]], recognise: Recogniser | None
) -> list[Conversation]:
    """Masked; a user or thread that was never placed may come to be held out, and is left alone."""
    named = [(conversation_of(row), row) for row in rows if not is_held_back(row)]
    sides = unit_sides(connection, {name for one, _ in named for name in unit_names(one) if name})
    found = []
    for one, row in named:
        its_sides = {sides[name] for name in unit_names(one) if name in sides}
        if its_sides == {"train"} and row.side in (None, "train"):
            found.append(mask_personal(one, recognise)[0])
    return found


def _fair(blamed: Sequence[Conversation], golden: Sequence[Conversation]) -> Iterator[Conversation]:
    """Each once, few of one user, none that the gate measures with."""
    gate, of_user, seen = GatePrompts([*gate_items(), *golden]), Counter[str](), set[tuple[Any, str]]()
    for one in blamed:
        text = (one.messages, one.reply)
        asked, reply = read_conversation(one)
        who = one.user_id or one.thread_id or one.id
        if text in seen or of_user[who] >= MOST_PER_USER or gate.item_in(asked, reply) is not None:
            continue
        seen.add(text)
        of_user[who] += 1
        yield one
