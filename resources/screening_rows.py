"""What screening reads and writes in the store, a piece at a time: nothing here holds all conversations."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, bindparam, func, insert, or_, select, update

from core.conversation import Conversation, Message
from core.domain import trusted
from core.rules import Finding
from core.sides import Side
from resources.among import among
from resources.conversation_rows import PRAISE
from resources.database import to_json
from resources.tables import conversations, texts, units, versions

NOT_SCREENED: Mapping[str, Any] = {
    "findings": [],
    "rejected": False,
    "cluster": None,
    "tokens": None,
    "language": None,
    "quality": None,
    "quality_parts": None,
    "masked_hash": None,
}
# characters of a piece, of which several are worked on at once, each in several forms
PIECE_CHARACTERS = 8_000_000
# rows that the database gives at once
AT_ONCE = 50

_c = conversations.c
_NAMES = tuple(Conversation.model_fields)
_FIELDS = [_c[name] for name in _NAMES if name in _c]
_WHOLE = [*_FIELDS, texts.c.messages, texts.c.reply]
# the conversation stands at the end of a row, and is taken from there by place: by name takes three times as long
_PLACES = {column.name: place - len(_WHOLE) for place, column in enumerate(_WHOLE)}
_fields = itemgetter(*(_PLACES[name] for name in _NAMES))

Key = TypeVar("Key", int, str)


class Decided(NamedTuple):
    """What screening says of one conversation; `masked_hash` is None where masking changed nothing."""

    seq: int
    side: Side | None
    findings: tuple[Finding, ...]
    cluster: int | None
    tokens: int | None
    language: str
    quality: float
    quality_parts: dict[str, float]
    personal: dict[str, int]
    masked_hash: str | None


@dataclass(frozen=True)
class Standing:
    """What stands before a piece is decided: users so far, and how many conversations have a side."""

    users: int
    placed: int


@dataclass(frozen=True)
class Screened:
    """All that is to be stored of a piece, and what stands after it."""

    decided: Sequence[Decided]
    units: Mapping[str, Side]
    standing: Standing


def own_conversation(row: Row[Any]) -> Conversation:
    """The conversation of a row of ours, which ends in `_WHOLE`: it was validated when it was captured."""
    fields = dict(zip(_NAMES, _fields(tuple(row)), strict=True))
    fields["messages"] = tuple(trusted(Message, message) for message in fields["messages"])
    return trusted(Conversation, fields)


def next_rows(connection: Connection, n: int, after: int, size: int) -> Sequence[Row[Any]]:
    """The next conversations of the version that are not screened yet, in their order: fewer where they are long."""
    own = (_c.seq, _c.hash, _c.side, _c.personal, _c.rating, _c.thumb, _c.released_at, _c.overruled)
    query = select(*own, *_WHOLE).join(texts, texts.c.seq == _c.seq)
    unscreened = query.where(_c.version == n, _c.seq > after, _c.quality.is_(None))
    # not all that may be wanted is brought into memory before its length is known
    found = connection.execute(unscreened.order_by(_c.seq).limit(size).execution_options(yield_per=AT_ONCE))
    with closing(found):
        return list(_up_to(found, PIECE_CHARACTERS))


def _up_to(rows: Iterable[Any], characters: int) -> Iterator[Row[Any]]:
    """As many as come to so many characters, at least one."""
    for row in rows:
        yield row
        characters -= characters_of(row)
        if characters <= 0:
            return


def characters_of(row: Row[Any]) -> int:
    """How long a conversation is."""
    return len(row.reply) + sum(len(message["content"]) for message in row.messages)


def screened_with(connection: Connection, n: int, rules: Mapping[str, Any]) -> None:
    """Note the rules of the version; what was screened under others is screened again."""
    known = connection.execute(select(versions.c.screened_with).where(versions.c.n == n)).scalar_one()
    if known == rules:
        return
    # a new version has none of them, and others do not wait until all its rows are written
    screened = or_(_c.quality.is_not(None), _c.cluster.is_not(None), _c.rejected)
    connection.execute(update(conversations).where(_c.version == n, screened).values(**NOT_SCREENED))
    connection.execute(update(versions).where(versions.c.n == n).values(screened_with=dict(rules)))


def write_decisions(connection: Connection, n: int, decided: Iterable[Decided]) -> None:
    """Store what was decided; a side, once stored, stays."""
    values = [_values(one, n) for one in decided]
    if values:
        # past SQLAlchemy's types, which cost three times what the database takes
        mark = "?" if connection.dialect.name == "sqlite" else "%s"
        connection.exec_driver_sql(_DECIDE.replace("?", mark), values)


_DECIDE = """
UPDATE conversations SET
    side = coalesce(side, ?), findings = ?, rejected = ?, cluster = ?, tokens = ?, language = ?, quality = ?,
    quality_parts = ?, personal = ?, masked_hash = ?
WHERE seq = ? AND version = ?
"""


def _values(one: Decided, n: int) -> tuple[Any, ...]:
    """In the order of `_DECIDE`."""
    return (
        one.side,
        to_json([finding.model_dump() for finding in one.findings]) if one.findings else "[]",
        any(finding.severity == "error" for finding in one.findings),
        one.cluster,
        one.tokens,
        one.language,
        one.quality,
        to_json(one.quality_parts),
        to_json(one.personal) if one.personal else None,
        one.masked_hash,
        one.seq,
        n,
    )


def reject(connection: Connection, n: int, findings: Mapping[str, Finding]) -> None:
    """Add an error to conversations that were accepted so far, by id."""
    rows = _in(connection, select(_c.id, _c.findings).where(_c.version == n), _c.id, findings)
    change = update(conversations).where(_c.id == bindparam("of_id"))
    values = [{"of_id": row.id, "new": [*row.findings, findings[row.id].model_dump()]} for row in rows]
    if values:
        connection.execute(change.values(rejected=True, findings=bindparam("new", type_=_c.findings.type)), values)


def write_units(connection: Connection, placed: Mapping[str, Side]) -> None:
    known = unit_sides(connection, placed)
    new = [{"unit": unit, "side": side} for unit, side in placed.items() if unit not in known]
    if new:
        connection.execute(insert(units), new)


def unit_sides(connection: Connection, names: Iterable[str]) -> dict[str, Side]:
    """The sides of those units that were placed."""
    query = select(units.c.unit, units.c.side)
    return {row.unit: row.side for row in _in(connection, query, units.c.unit, names)}


def cluster_sides(connection: Connection, clusters: Iterable[int]) -> dict[int, Side]:
    """The sides of those clusters that hold an accepted conversation."""
    query = select(_c.cluster, _c.side).where(_c.side.is_not(None), ~_c.rejected).distinct()
    return {row.cluster: row.side for row in _in(connection, query, _c.cluster, clusters)}


def clusters_of(connection: Connection, seqs: Iterable[int]) -> dict[int, int]:
    """Conversation → its cluster."""
    query = select(_c.seq, _c.cluster).where(_c.cluster.is_not(None))
    return {row.seq: row.cluster for row in _in(connection, query, _c.seq, seqs)}


def known_texts(connection: Connection, n: int, masked: Collection[str], plain: Collection[str]) -> set[str]:
    """Those texts that passed the rules before, up to this version.

    `plain` are hashes of texts stored as they are: eligible ones differ, so that only a masked text can equal them.
    """
    # what passed the rules was looked at for near-duplicates, whatever became of it later
    passed = and_(_c.version <= n, _c.cluster.is_not(None))
    query = select(_c.masked_hash).where(passed)
    found = {row.masked_hash for row in _in(connection, query, _c.masked_hash, {*masked, *plain})}
    query = select(_c.hash).where(passed, _c.eligible, _c.masked_hash.is_(None))
    return found | {row.hash for row in _in(connection, query, _c.hash, masked)}


def users_up_to(connection: Connection, n: int) -> int:
    """How many users wrote the conversations of this and earlier versions."""
    query = select(func.count(_c.user_id.distinct())).where(_c.version <= n)
    return int(connection.execute(query).scalar_one())


def placed_up_to(connection: Connection, n: int) -> int:
    """How many conversations have their side by now, among those of this and earlier versions that were screened."""
    screened = (_c.version < n) | _c.quality.is_not(None)
    query = select(func.count()).select_from(conversations).where(_c.version <= n, _c.side.is_not(None), screened)
    return int(connection.execute(query).scalar_one())


def accepted(n: int) -> ColumnElement[bool]:
    """What the dataset of a version holds: all that was accepted up to it.

    Praise makes a model's own words eligible; where it was taken back, later versions do without them.
    """
    stands = or_(_c.provenance != "self", _c.rating >= PRAISE, _c.thumb == 1, _c.released_at.is_not(None))
    return and_(_c.version <= n, _c.side.is_not(None), ~_c.rejected, or_(_c.version == n, stands))


def texts_of(connection: Connection, seqs: Iterable[int]) -> Sequence[Row[Any]]:
    """Conversations by number with what was found of them, those that are gone left out."""
    found = (_c.seq, _c.version, _c.side, _c.cluster, _c.tokens, _c.language, _c.quality, _c.masked_hash)
    query = select(*found, *_WHOLE).join(texts, texts.c.seq == _c.seq)
    return _in(connection, query, _c.seq, seqs)


def _in(
    connection: Connection, query: Select[Any], column: ColumnElement[Any], values: Iterable[Key]
) -> Sequence[Row[Any]]:
    unique = list(dict.fromkeys(values))
    return connection.execute(query.where(among(connection, column, unique))).all() if unique else ()
