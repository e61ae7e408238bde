"""The caps over a whole version, once all its conversations are examined; earlier versions come as sums."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Text, cast, func, select

from core.caps import OWN, Candidate, CapCounts, Caps, apply_caps
from resources.screening_rows import accepted, reject
from resources.tables import conversations

_c = conversations.c
# how the store spells a finding of this rule
REFUSAL = cast(_c.findings, Text).contains('"rule":"refusal"', autoescape=True)


def apply_caps_to_version(connection: Connection, n: int, caps: Caps) -> None:
    """Reject what is over a cap; done again it finds nothing, as what is left is under all of them."""
    mine = (accepted(n), _c.version == n)
    columns = (_c.id, _c.user_id, _c.cluster, _c.provenance, REFUSAL.label("refusal"), _c.overruled)
    rows = connection.execute(select(*columns).where(*mine).order_by(_c.seq))
    reject(connection, n, apply_caps([_candidate(row) for row in rows], _earlier(connection, n), caps))


def _candidate(row: Row[Any]) -> Candidate:
    """A cap that a person set aside for this conversation sees nothing to count in it."""
    aside = frozenset(row.overruled or ())
    return Candidate(
        row.id,
        None if "cap_user" in aside else row.user_id,
        None if "cap_cluster" in aside else row.cluster,
        "self_edited" if "cap_self" in aside else row.provenance,
        bool(row.refusal) and "cap_refusal" not in aside,
    )


def _earlier(connection: Connection, n: int) -> CapCounts:
    """Sums over what earlier versions accepted, of the users and clusters that this one has as well."""
    return CapCounts(
        users=_by(connection, n, _c.user_id),
        clusters=_by(connection, n, _c.cluster),
        total=_number(connection, n),
        own=_number(connection, n, _c.provenance.in_(sorted(OWN))),
        refusals=_number(connection, n, REFUSAL),
        known_users=_users(connection, n),
    )


def _by(connection: Connection, n: int, column: ColumnElement[Any]) -> dict[Any, int]:
    here = select(column).where(_c.version == n, column.is_not(None))
    query = select(column, func.count()).where(accepted(n - 1), column.in_(here)).group_by(column)
    return {row[0]: row[1] for row in connection.execute(query)}


def _users(connection: Connection, n: int) -> int:
    query = select(func.count(_c.user_id.distinct())).where(accepted(n - 1))
    return int(connection.execute(query).scalar_one())


def _number(connection: Connection, n: int, *which: ColumnElement[bool]) -> int:
    query = select(func.count()).select_from(conversations).where(accepted(n - 1), *which)
    return int(connection.execute(query).scalar_one())
