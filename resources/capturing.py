"""Storing a batch of masked conversations: idempotent by id, distinct by hash, whoever else stores at the moment."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from core.duplicates import exact_hash
from core.eligibility import Eligibility, decide
from resources.conversation_rows import CHUNK, Masked, completing_values, is_positive, new_row, text_values
from resources.tables import conversations, texts

OF_A_KNOWN_ID = ("id", "seq", "provenance", "complete", "eligible", "reason", "rating", "thumb")
DUPLICATE = Eligibility(eligible=False, reason="duplicate")


@dataclass(frozen=True)
class Captured:
    """What became of one conversation: `collected` when its row is in the store, new or not."""

    id: str
    collected: bool
    duplicate_id: bool
    eligible: bool
    reason: str | None


def capture_batch(connection: Connection, batch: Sequence[Masked]) -> list[Captured]:
    """Store all, answers in their order.

    An id that is known, in the store or earlier in the batch, is a duplicate, unless what was known is incomplete.
    """
    outcomes: list[Captured | None] = [None] * len(batch)
    todo = list(enumerate(batch))
    while todo:
        todo = _round(connection, todo, outcomes)
    return [outcome for outcome in outcomes if outcome is not None]


def make_eligible(connection: Connection, id: str, values: dict[str, Any]) -> Eligibility:
    """Write values that may make the row eligible; the unique index has the last word on duplicates."""
    mine = update(conversations).where(conversations.c.id == id)
    try:
        with connection.begin_nested():
            connection.execute(mine.values(**values))
    except IntegrityError:
        connection.execute(mine.values(**values | {"eligible": False, "reason": "duplicate"}))
        return DUPLICATE
    return Eligibility(eligible=values["eligible"], reason=values["reason"])


def known_hashes(connection: Connection, hashes: Iterable[str]) -> set[str]:
    """Those that an eligible conversation has."""
    found: set[str] = set()
    for chunk in _chunks(hashes):
        query = select(conversations.c.hash).where(conversations.c.eligible, conversations.c.hash.in_(chunk))
        found.update(connection.execute(query).scalars())
    return found


def _round(
    connection: Connection, todo: Sequence[tuple[int, Masked]], outcomes: list[Captured | None]
) -> list[tuple[int, Masked]]:
    """Settle what can be settled at once; what another writer was faster with, and what repeats an id, comes back."""
    hashes = {index: exact_hash(one.conversation) for index, one in todo}
    existing = _existing(connection, [one.conversation.id for _, one in todo])
    known = known_hashes(connection, hashes.values())
    rows: dict[str, dict[str, Any]] = {}
    first: dict[str, int] = {}
    for index, one in todo:
        id = one.conversation.id
        row = existing.get(id)
        if row is not None:
            outcomes[index] = _meet(connection, row, one, hashes[index])
        elif id not in rows:
            decision = decide(one.conversation, hash_known=hashes[index] in known, personal_data=one.held_back)
            if decision.eligible:
                known.add(hashes[index])
            rows[id] = new_row(one, hashes[index], decision)
            first[id] = index
    inserted = _insert(connection, list(rows.values()))
    by_index = dict(todo)
    written = [{"seq": seq, **text_values(by_index[first[id]].conversation)} for id, seq in inserted.items()]
    if written:
        connection.execute(insert(texts), written)
    for id in inserted:
        outcomes[first[id]] = Captured(id, True, False, rows[id]["eligible"], rows[id]["reason"])
    return [(index, one) for index, one in todo if outcomes[index] is None]


def _existing(connection: Connection, ids: Iterable[str]) -> dict[str, Row[Any]]:
    columns = [conversations.c[name] for name in OF_A_KNOWN_ID]
    found: dict[str, Row[Any]] = {}
    for chunk in _chunks(ids):
        query = select(*columns).where(conversations.c.id.in_(chunk))
        found.update({row.id: row for row in connection.execute(query)})
    return found


def _insert(connection: Connection, rows: list[dict[str, Any]]) -> dict[str, int]:
    """The ids that were new, with their numbers; the rest met a unique index."""
    if not rows:
        return {}
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(conversations).on_conflict_do_nothing()
    returned = connection.execute(statement.returning(conversations.c.id, conversations.c.seq), rows)
    return {row.id: row.seq for row in returned}


def _meet(connection: Connection, row: Row[Any], one: Masked, hash: str) -> Captured | None:
    """A known id: an incomplete one takes over what came since, a complete one stays. None: just deleted.

    Words of another provenance are another conversation: they would be trained on under the name of this one.
    """
    conversation = one.conversation
    if row.complete or row.provenance != conversation.provenance:
        return Captured(row.id, True, True, row.eligible, row.reason)
    # locked and read again: another writer may have completed it since
    connection.execute(select(conversations.c.seq).where(conversations.c.id == row.id).with_for_update())
    now = _existing(connection, [row.id]).get(row.id)
    if now is None or now.complete:
        return now and Captured(now.id, True, True, now.eligible, now.reason)
    known = hash in known_hashes(connection, [hash])
    praised = is_positive(now.rating, now.thumb)
    decision = decide(conversation, hash_known=known, positive_feedback=praised, personal_data=one.held_back)
    final = make_eligible(connection, row.id, completing_values(one, hash, decision))
    connection.execute(update(texts).where(texts.c.seq == now.seq).values(**text_values(conversation)))
    return Captured(row.id, True, False, final.eligible, final.reason)


def _chunks(values: Iterable[str]) -> Iterator[list[str]]:
    unique = sorted(set(values))
    for start in range(0, len(unique), CHUNK):
        yield unique[start : start + CHUNK]
