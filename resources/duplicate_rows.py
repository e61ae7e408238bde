"""Conversations kept out only because they repeat another: eligible again when that one is gone."""

from collections.abc import Iterable

from sqlalchemy import Connection, func, select

from resources.capturing import make_eligible
from resources.conversation_rows import CHUNK
from resources.tables import conversations


def revive_duplicates(connection: Connection, hashes: Iterable[str]) -> int:
    """Make the oldest duplicate of each of these hashes eligible; how many were."""
    unique = sorted(set(hashes))
    return sum(_revive(connection, unique[start : start + CHUNK]) for start in range(0, len(unique), CHUNK))


def _revive(connection: Connection, hashes: list[str]) -> int:
    columns = conversations.c
    # `duplicate` is the last obstacle that is looked for, so nothing else keeps these out
    repeats = select(func.min(columns.seq)).where(columns.hash.in_(hashes), columns.reason == "duplicate")
    oldest = select(columns.id).where(columns.seq.in_(repeats.group_by(columns.hash)))
    found = connection.execute(oldest.order_by(columns.seq)).scalars().all()
    values = {"eligible": True, "reason": None}
    return sum(make_eligible(connection, id, dict(values)).eligible for id in found)
