"""Deciding of a conversation that was held back, in one transaction; no dataset holds it, and at most one ever will.

What screening rejected is in no dataset of the version that claimed it. Released, it leaves that version and waits
like a new one, so that the next version claims it. A correction is a conversation of its own, as with feedback.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, select, update

from core.conversation import Conversation, Message, Provenance
from core.examination import examine
from core.pii import UNIQUE, find
from core.quality import Hints
from core.review import NOT_OVERRULED, error_rules
from core.rules import Finding
from resources.capturing import capture_batch, make_eligible
from resources.conversation_rows import Masked, conversation_of, with_texts
from resources.event_rows import write_event
from resources.feedback import SUPERSEDED, corrected_copy
from resources.screening_rows import NOT_SCREENED
from resources.store_errors import HeldBack, NotAllowed, NotFound
from resources.tables import conversations, reviews, utc_now, versions

_ENDED = ("promoted", "rejected")


class Correction(NamedTuple):
    """What a person wrote in its place; None where the original stays."""

    messages: tuple[Message, ...] | None
    reply: str | None

    def of(self, original: Conversation) -> Conversation:
        """The original with what was corrected."""
        messages = original.messages if self.messages is None else self.messages
        reply = original.reply if self.reply is None else self.reply
        return original.model_copy(update={"messages": messages, "reply": reply})


def correct(connection: Connection, id: str, messages: Sequence[Message] | None, reply: str | None) -> None:
    """Keep a correction; what an earlier one said of the other part stays."""
    row = _held(connection, id)
    values: dict[str, Any] = {}
    if messages is not None:
        values["messages"] = [message.model_dump() for message in messages]
    if reply is not None:
        values["reply"] = reply
    _refuse_unique([*(message.content for message in messages or ()), reply or ""])
    _note(connection, row, {"status": "waiting", **values})


def release(connection: Connection, id: str, by: str, reason: str) -> None:
    """Eligible again and in no version; HeldBack for what no person can overrule."""
    row = _held(connection, id)
    _check_ended(connection, row)
    original, correction = conversation_of(row), _correction_of(connection, row.seq)
    wanted = correction.of(original) if correction else original
    if not wanted.complete:
        raise HeldBack("incomplete", "expected a complete reply, found one that was cut off: correct the reply")
    _refuse_unique([*(message.content for message in wanted.messages), wanted.reply])
    found = examine(wanted, hints=Hints(released=True)).findings
    relational = [] if correction else [Finding.model_validate(finding) for finding in row.findings]
    rules = error_rules([*found, *relational])
    for rule in rules:
        if rule in NOT_OVERRULED:
            raise HeldBack(rule, f"{rule}: expected a correction, as nobody can overrule this rule; see its findings")
    overruled = sorted({*rules, *_soft(row), *(row.overruled or ())})
    marks = {"released_at": utc_now(), "released_by": by, "overruled": overruled}
    released = _release_copy(connection, row, wanted, marks) if correction else _release_itself(connection, row, marks)
    decision = {"status": "released", "released_id": released, "decided_by": by, "reason": reason}
    _note(connection, row, {**decision, "findings": row.findings, "version": row.version})
    data = {"conversation_id": id, "released_id": released, "overruled": overruled, "released_by": by}
    write_event(connection, "review_released", f"{id} was released by a person", row.version, data)


def dismiss(connection: Connection, id: str, by: str, reason: str | None) -> None:
    """It stays where it is and leaves the queue."""
    row = _held(connection, id)
    _note(connection, row, {"status": "dismissed", "decided_by": by, "reason": reason, "released_id": None})
    write_event(connection, "review_dismissed", f"{id} stays held back", row.version, {"conversation_id": id, "by": by})


def _release_itself(connection: Connection, row: Row[Any], marks: dict[str, Any]) -> str:
    """The same row waits again; its side stays, so that nothing once held out is ever trained on."""
    values = {**NOT_SCREENED, **marks, "version": None, "eligible": True, "reason": None}
    if not make_eligible(connection, row.id, values).eligible:
        raise NotAllowed(f"Expected {row.id} to say something new, found an eligible conversation that says the same")
    return str(row.id)


def _release_copy(connection: Connection, row: Row[Any], wanted: Conversation, marks: dict[str, Any]) -> str:
    """The corrected conversation waits; the original makes room for it, also where both would count as the same."""
    mine = update(conversations).where(conversations.c.seq == row.seq)
    gone = {"version": None, "eligible": False, "reason": SUPERSEDED, "rejected": False}
    connection.execute(mine.values(**gone))
    original = conversation_of(row)
    by: Provenance = "self_edited" if original.provenance == "self" else original.provenance
    copy = corrected_copy(connection, original, wanted.messages, wanted.reply, by)
    (captured,) = capture_batch(connection, [Masked(copy, {})])
    if not captured.eligible:
        raise NotAllowed(f"Expected the correction of {row.id} to be eligible, found it is not: {captured.reason}")
    kept = {**marks, "personal": row.personal}
    connection.execute(update(conversations).where(conversations.c.id == copy.id).values(**kept))
    return copy.id


def _held(connection: Connection, id: str) -> Row[Any]:
    row = connection.execute(with_texts().where(conversations.c.id == id).with_for_update(of=conversations)).first()
    if row is None:
        raise NotFound(f"Expected a conversation with id {id!r}, found none")
    if not (row.rejected or row.reason == "personal_data"):
        raise NotAllowed(f"Expected {id} to be held back, found that it is not")
    return row


def _check_ended(connection: Connection, row: Row[Any]) -> None:
    """A version at work may screen its conversations again, and must find them all."""
    if row.version is None:
        return
    state = connection.execute(select(versions.c.state).where(versions.c.n == row.version)).scalar_one()
    if state not in _ENDED:
        raise NotAllowed(f"Expected v{row.version}, which claimed {row.id}, to be at its end, found it {state}: wait")


def _soft(row: Row[Any]) -> list[str]:
    """What held the original back and can be overruled; the person had it before their eyes."""
    rules = error_rules(Finding.model_validate(finding) for finding in row.findings)
    return [rule for rule in rules if rule not in NOT_OVERRULED]


def _correction_of(connection: Connection, seq: int) -> Correction | None:
    row = connection.execute(select(reviews.c.messages, reviews.c.reply).where(reviews.c.seq == seq)).first()
    if row is None or (row.messages is None and row.reply is None):
        return None
    turns = None if row.messages is None else tuple(Message.model_validate(message) for message in row.messages)
    return Correction(turns, row.reply)


def _refuse_unique(texts: Sequence[str]) -> None:
    kinds = sorted({found.kind for text in texts for found in find(text, UNIQUE)})
    if kinds:
        message = (
            f"expected no number that names a person, found {', '.join(kinds)}: correct it, or write [RRN] and so on"
        )
        raise HeldBack("personal_data", message)


def _note(connection: Connection, row: Row[Any], values: dict[str, Any]) -> None:
    """One line of review beside the conversation, gone with it."""
    values = {**values, "updated_at": utc_now()}
    mine = update(reviews).where(reviews.c.seq == row.seq)
    if connection.execute(mine.values(**values)).rowcount == 0:
        fresh = {"status": "waiting", "findings": row.findings, "version": row.version, **values}
        connection.execute(reviews.insert().values(seq=row.seq, **fresh))
