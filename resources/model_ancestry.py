"""Where a model comes from: base, data, experiments, and who replaced whom."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Text, cast, or_, select

from core.experiments import Design
from resources.model_rows import Model, model_row
from resources.screening_counts import origins
from resources.tables import champion_moves, experiments
from resources.text_search import contains
from resources.version_rows import Version, version_of, version_row

MOST_SHOWN = 200


@dataclass(frozen=True)
class Move:
    """One change of champion; None is the base."""

    at: datetime
    n: int | None
    previous: int | None
    reason: str
    by: str
    override: bool


@dataclass(frozen=True)
class Tried:
    """An experiment in which it was an arm."""

    id: int
    name: str
    arm: str
    status: str
    winner: str | None
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True)
class Ancestry:
    """`ancestors` are the versions on whose adapters it builds, nearest first; the last of them began at the base."""

    model: Model
    version: Version
    ancestors: tuple[int, ...]
    provenance: dict[str, int]
    sources: dict[str, int]
    experiments: tuple[Tried, ...]
    moves: tuple[Move, ...]


def ancestry(connection: Connection, lineage: str, n: int) -> Ancestry:
    """NotFound where there is none. Moves and experiments oldest first, the newest of them."""
    model, version = model_row(connection, lineage, n), version_of(version_row(connection, n))
    provenance, sources = _origins(connection, n)
    return Ancestry(
        model,
        version,
        _ancestors(connection, version),
        provenance,
        sources,
        _tried(connection, version.base_fingerprint, n),
        _moves(connection, version.base_fingerprint, n),
    )


def _ancestors(connection: Connection, version: Version) -> tuple[int, ...]:
    found: list[int] = []
    while version.starts_from is not None and len(found) < MOST_SHOWN:
        found.append(version.starts_from)
        version = version_of(version_row(connection, version.starts_from))
    return tuple(found)


def _origins(connection: Connection, n: int) -> tuple[dict[str, int], dict[str, int]]:
    provenances: dict[str, int] = {}
    sources: dict[str, int] = {}
    for source, provenance, number in origins(connection, n):
        provenances[provenance] = provenances.get(provenance, 0) + number
        sources[source] = sources.get(source, 0) + number
    return provenances, sources


def _tried(connection: Connection, lineage: str, n: int) -> tuple[Tried, ...]:
    e = experiments.c
    mentions = contains(cast(e.design, Text), f'"v{n}"')
    query = select(e.id, e.name, e.design, e.status, e.winner, e.started_at, e.ended_at)
    rows = connection.execute(query.where(e.lineage == lineage, mentions).order_by(e.id.desc()).limit(MOST_SHOWN))
    return tuple(
        Tried(row.id, row.name, arm.name, row.status, row.winner, row.started_at, row.ended_at)
        for row in reversed(rows.all())
        for arm in Design.model_validate(row.design).arms
        if arm.version == n
    )


def _moves(connection: Connection, lineage: str, n: int) -> tuple[Move, ...]:
    m = champion_moves.c
    query = select(champion_moves).where(m.lineage == lineage, or_(m.n == n, m.previous == n))
    rows: list[Any] = list(connection.execute(query.order_by(m.id.desc()).limit(MOST_SHOWN)))
    return tuple(
        Move(row.moved_at, row.n, row.previous, row.reason, row.moved_by, row.override) for row in reversed(rows)
    )
