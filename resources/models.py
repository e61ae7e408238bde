"""Versions as models: named, listed, scored and traced. `Champions` moves them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from resources.conversations import Page
from resources.database import Database
from resources.event_rows import write_event
from resources.model_ancestry import Ancestry, ancestry
from resources.model_rows import Model, Status, Wanted, model_row, model_rows, models_page
from resources.store_errors import NotAllowed
from resources.tables import benchmarks, model_tags, models, utc_now
from resources.version_rows import version_row

__all__ = ["Ancestry", "Benchmark", "Model", "Models", "Registration", "Status", "Wanted"]

_FINISHED = ("trained", "promoted", "rejected")


@dataclass(frozen=True)
class Registration:
    """What a person calls version n; `base_model` None where it is of another base than the one served."""

    n: int
    model_name: str
    version: str
    base_model: str
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Benchmark:
    """One score in [0, 1] that somebody measured of version n."""

    id: int
    n: int
    name: str
    score: float
    details: dict[str, Any]
    created_at: datetime


class Models:
    def __init__(self, database: Database, lineage: str) -> None:
        self._database = database
        self._lineage = lineage

    def register(self, wanted: Registration) -> Model:
        """Name a finished version. Again under the same name: its tags become those given.

        NotFound without the version; NotAllowed while it is unfinished, where it has another name, or where another
        has this one.
        """

        def work(connection: Connection) -> Model:
            row = version_row(connection, wanted.n)
            check_finished(row)
            _check_name_free(connection, wanted)
            ours = row.base_fingerprint == self._lineage
            named = _is_named(connection, wanted)
            if named and set(model_row(connection, self._lineage, wanted.n).tags) == set(wanted.tags):
                return model_row(connection, self._lineage, wanted.n)
            if not named:
                fresh = {"n": wanted.n, "model_name": wanted.model_name, "version": wanted.version}
                values = {**fresh, "base_model": wanted.base_model if ours else None, "registered_at": utc_now()}
                values |= {"changes": 0, "told": 0}
                connection.execute(insert(models).values(**values))
                message = f"v{wanted.n} is registered as {wanted.model_name} {wanted.version}"
                write_event(connection, "model_registered", message, wanted.n, {**fresh, "tags": list(wanted.tags)})
            connection.execute(delete(model_tags).where(model_tags.c.n == wanted.n))
            for tag in sorted(set(wanted.tags)):
                connection.execute(insert(model_tags).values(n=wanted.n, tag=tag))
            mine = update(models).where(models.c.n == wanted.n)
            connection.execute(mine.values(changes=models.c.changes + 1))
            return model_row(connection, self._lineage, wanted.n)

        return self._database.write(work)

    def untold(self, limit: int = 20) -> list[tuple[Model, int]]:
        """Models whose names or tags the registry does not have yet, each with the change that it lacks."""
        query = select(models.c.n, models.c.changes).where(models.c.told < models.c.changes).limit(limit)

        def work(connection: Connection) -> list[tuple[Model, int]]:
            rows = connection.execute(query).all()
            found = model_rows(connection, self._lineage, [row.n for row in rows])
            return list(zip(found, [row.changes for row in rows], strict=True))

        return self._database.read(work)

    def mark_told(self, n: int, change: int) -> None:
        """The registry has what it was named at this change; a later one is still to be told."""
        mine = update(models).where(models.c.n == n)
        self._database.write(lambda c: c.execute(mine.values(told=change)))

    def get(self, n: int) -> Model:
        """NotFound where there is none."""
        return self._database.read(lambda c: model_row(c, self._lineage, n))

    def page(self, wanted: Wanted, page: int = 1, page_size: int = 50) -> Page[Model]:
        """Newest first, pages from 1."""
        return self._database.read(lambda c: models_page(c, self._lineage, wanted, page, page_size))

    def ancestry(self, n: int) -> Ancestry:
        """Where it comes from and whom it replaced; NotFound where there is none."""
        return self._database.read(lambda c: ancestry(c, self._lineage, n))

    def add_benchmark(
        self, n: int, name: str, score: float, details: Mapping[str, Any], key: str | None = None
    ) -> Benchmark:
        """A score in [0, 1]; with a key that was used before, what was kept then."""

        def work(connection: Connection) -> Benchmark:
            model_row(connection, self._lineage, n)
            if key and (before := _of_key(connection, n, key)):
                if (before.name, before.score) != (name, score):
                    raise NotAllowed("Expected the score that this Idempotency-Key came with before, found another")
                return before
            values = {"n": n, "name": name, "score": score, "details": dict(details), "idempotency_key": key}
            fresh = insert(benchmarks).values(**values, created_at=utc_now()).returning(*benchmarks.c)
            row = connection.execute(fresh).one()
            write_event(connection, "benchmark_added", f"v{n} scored {score:g} in {name}", n, {"benchmark_id": row.id})
            return _benchmark(row)

        return self._database.write(work)

    def benchmarks(self, n: int, page: int = 1, page_size: int = 50, *, name: str | None = None) -> Page[Benchmark]:
        """Newest first, pages from 1; NotFound where there is no such model."""
        filters = [benchmarks.c.n == n] + ([benchmarks.c.name == name] if name else [])
        query = select(benchmarks).where(*filters).order_by(benchmarks.c.id.desc())

        def work(connection: Connection) -> Page[Benchmark]:
            model_row(connection, self._lineage, n)
            total = connection.execute(select(func.count()).select_from(benchmarks).where(*filters)).scalar_one()
            rows = connection.execute(query.limit(page_size).offset((page - 1) * page_size)).all()
            return Page([_benchmark(row) for row in rows], page, page_size, int(total))

        return self._database.read(work)

    def compared(self, ns: Sequence[int], name: str | None = None) -> tuple[list[Model], list[Benchmark]]:
        """The models in the order asked, and the newest score of each in each benchmark."""

        def work(connection: Connection) -> tuple[list[Model], list[Benchmark]]:
            found = model_rows(connection, self._lineage, ns)
            mine = [benchmarks.c.n.in_(ns)] + ([benchmarks.c.name == name] if name else [])
            newest = select(func.max(benchmarks.c.id)).where(*mine).group_by(benchmarks.c.n, benchmarks.c.name)
            query = select(benchmarks).where(benchmarks.c.id.in_(newest)).order_by(benchmarks.c.name)
            return found, [_benchmark(row) for row in connection.execute(query)]

        return self._database.read(work)


def check_finished(row: Row[Any]) -> None:
    """NotAllowed for a version that is unfinished or left no adapter."""
    if row.state not in _FINISHED:
        raise NotAllowed(f"Expected a finished job, found job {row.n} {row.state}: register it once it is completed")
    if row.adapter_sha256 is None:
        raise NotAllowed(
            f"Expected a job that left an adapter, found job {row.n} without: nothing was left to train on"
        )


def _is_named(connection: Connection, wanted: Registration) -> bool:
    """Whether it has this name already; NotAllowed where it has another."""
    row = connection.execute(select(models).where(models.c.n == wanted.n)).first()
    if row is not None and (row.model_name, row.version) != (wanted.model_name, wanted.version):
        found = f"found job {wanted.n} registered as {row.model_name} {row.version}"
        raise NotAllowed(f"Expected a job without a name, {found}: a version keeps the name it has")
    return row is not None


def _check_name_free(connection: Connection, wanted: Registration) -> None:
    same = (models.c.model_name == wanted.model_name, models.c.version == wanted.version, models.c.n != wanted.n)
    other = connection.execute(select(models.c.n).where(*same)).scalar_one_or_none()
    if other is not None:
        found = f"found {wanted.model_name} {wanted.version} taken by model {other}"
        raise NotAllowed(f"Expected a version that is free, {found}: take another version")


def _of_key(connection: Connection, n: int, key: str) -> Benchmark | None:
    mine = (benchmarks.c.n == n, benchmarks.c.idempotency_key == key)
    row = connection.execute(select(benchmarks).where(*mine)).first()
    return _benchmark(row) if row else None


def _benchmark(row: Row[Any]) -> Benchmark:
    return Benchmark(**{key: value for key, value in row._mapping.items() if key != "idempotency_key"})
