"""Versions that a person has evaluated again: asked for, done one at a time, and kept. None of it moves a champion."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, func, insert, select, update

from core.verdict import Verdict
from resources.conversations import Page
from resources.database import Database
from resources.event_rows import write_event
from resources.model_rows import model_row
from resources.models import check_finished
from resources.store_errors import NotAllowed, NotFound
from resources.tables import evaluations, uploads, utc_now
from resources.version_rows import version_row

State = Literal["waiting", "running", "done", "failed"]

MOST_WAITING = 10
MOST_ATTEMPTS = 3


@dataclass(frozen=True)
class Again:
    """One evaluation of version n, with the golden set `upload` alone where one is named; `figures` by metric.

    `compared_with` is the champion of that moment, None the base; before it began it says nothing.
    """

    id: int
    n: int
    upload: int | None
    metrics: list[str]
    state: State
    attempts: int
    beat: int
    compared_with: int | None
    verdict: Verdict | None
    figures: dict[str, Any]
    error: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class Evaluations:
    def __init__(self, database: Database, lineage: str) -> None:
        self._database = database
        self._lineage = lineage

    def ask(
        self, n: int, upload: int | None, metrics: Sequence[str], key: str | None = None, *, adapter_there: bool = True
    ) -> Again:
        """A new one that waits; with a key that was used before, the one made then.

        NotFound without the version or the set; NotAllowed for a version that is unfinished, of another base or
        without its adapter, a set that is not golden, or where too many wait already.
        """

        def work(connection: Connection) -> Again:
            model = model_row(connection, self._lineage, n)
            check_finished(version_row(connection, n))
            if key and (before := _of_key(connection, n, key)):
                return before
            if model.base_fingerprint != self._lineage:
                raise NotAllowed(
                    f"Expected a version of the base that is served, found v{n} of {model.base_fingerprint}: set "
                    "BASE_MODEL back to that base first"
                )
            if not adapter_there:
                raise NotAllowed(f"Expected the adapter of v{n}, found it removed: of old versions the report is kept")
            _check_golden(connection, upload)
            waiting = select(func.count()).where(evaluations.c.state.in_(("waiting", "running")))
            if connection.execute(waiting).scalar_one() >= MOST_WAITING:
                raise NotAllowed(
                    f"Expected fewer than {MOST_WAITING} evaluations that wait: ask again when one is done"
                )
            values: dict[str, Any] = {
                "n": n,
                "upload": upload,
                "metrics": list(metrics),
                "state": "waiting",
                "attempts": 0,
                "beat": 0,
            }
            values |= {"figures": {}, "idempotency_key": key, "created_at": utc_now()}
            row = connection.execute(insert(evaluations).values(**values).returning(*evaluations.c)).one()
            write_event(connection, "evaluation_asked", f"v{n} is to be evaluated again", n, {"evaluation_id": row.id})
            return _again(row)

        return self._database.write(work)

    def get(self, id: int) -> Again:
        """NotFound where there is none."""
        return _again(self._database.read(lambda c: _row(c, id)))

    def of_model(self, n: int, page: int = 1, page_size: int = 50) -> Page[Again]:
        """Newest first, pages from 1; NotFound where there is no such model."""
        query = select(evaluations).where(evaluations.c.n == n).order_by(evaluations.c.id.desc())

        def work(connection: Connection) -> Page[Again]:
            model_row(connection, self._lineage, n)
            total = connection.execute(select(func.count()).where(evaluations.c.n == n)).scalar_one()
            rows = connection.execute(query.limit(page_size).offset((page - 1) * page_size)).all()
            return Page([_again(row) for row in rows], page, page_size, int(total))

        return self._database.read(work)

    def done(self, n: int, most: int = 20) -> list[Again]:
        """Those of version n that came to a result, newest first."""
        mine = select(evaluations).where(evaluations.c.n == n, evaluations.c.state == "done")
        query = mine.order_by(evaluations.c.id.desc()).limit(most)
        return [_again(row) for row in self._database.read(lambda c: c.execute(query).all())]

    def versions_in_need(self) -> set[int]:
        """Versions whose adapters are needed by what waits or runs."""
        query = select(evaluations.c.n).where(evaluations.c.state.in_(("waiting", "running"))).distinct()
        return set(self._database.read(lambda c: c.execute(query).scalars().all()))

    def running(self) -> Again | None:
        """The one that is measured now, as far as anybody said."""
        return self._first("running")

    def begin(self) -> Again | None:
        """Take the one that waits longest; None where none waits or one runs already."""

        def work(connection: Connection) -> Again | None:
            if _first(connection, "running") is not None:
                return None
            row = _first(connection, "waiting")
            if row is None:
                return None
            fresh = {"state": "running", "attempts": row.attempts + 1, "beat": 0, "started_at": utc_now()}
            return _again(_changed(connection, row.id, fresh))

        return self._database.write(work)

    def keep(self, again: Again) -> bool:
        """One beat; False says that somebody else has it."""
        return self._mine(again, {"beat": evaluations.c.beat + 1}) is not None

    def leave(self, again: Again, error: str) -> None:
        """Put back what was broken off, or give it up after the last attempt."""
        if again.attempts < MOST_ATTEMPTS:
            self._mine(again, {"state": "waiting", "error": error})
        else:
            self.fail(again, f"{error}; {MOST_ATTEMPTS} attempts were made")

    def fail(self, again: Again, error: str) -> None:
        """Ended without a result that another attempt would bring."""
        if self._mine(again, {"state": "failed", "error": error, "finished_at": utc_now()}):
            message = f"v{again.n} could not be evaluated again: {error}"
            self._tell("evaluation_failed", message, again, {})

    def finish(self, again: Again, compared_with: int | None, verdict: Verdict, figures: Mapping[str, Any]) -> bool:
        """Keep the result; False where somebody else finished it."""
        values = {"state": "done", "error": None, "finished_at": utc_now(), "compared_with": compared_with}
        found = self._mine(again, {**values, "verdict": verdict.model_dump_json(), "figures": dict(figures)})
        if found is None:
            return False
        said = "would promote" if verdict.promoted else "would reject"
        message = f"v{again.n} was evaluated again: the gate {said} it, and nothing was moved"
        self._tell("evaluated_again", message, again, {"promoted": verdict.promoted})
        return True

    def _first(self, state: State) -> Again | None:
        row = self._database.read(lambda c: _first(c, state))
        return _again(row) if row else None

    def _mine(self, again: Again, values: Mapping[str, Any]) -> Row[Any] | None:
        """Change it if it is still this attempt's."""
        mine = (evaluations.c.state == "running", evaluations.c.attempts == again.attempts)
        return self._database.write(lambda c: _changed(c, again.id, values, *mine))

    def _tell(self, kind: str, message: str, again: Again, data: Mapping[str, Any]) -> None:
        told = {"evaluation_id": again.id, **data}
        self._database.write(lambda c: write_event(c, kind, message, again.n, told))


def _changed(connection: Connection, id: int, values: Mapping[str, Any], *where: Any) -> Row[Any] | None:
    change = update(evaluations).where(evaluations.c.id == id, *where).values(**values)
    return connection.execute(change.returning(*evaluations.c)).first()


def _first(connection: Connection, state: State) -> Row[Any] | None:
    query = select(evaluations).where(evaluations.c.state == state).order_by(evaluations.c.id).limit(1)
    return connection.execute(query).first()


def _check_golden(connection: Connection, upload: int | None) -> None:
    if upload is None:
        return
    row = connection.execute(select(uploads.c.kind, uploads.c.status).where(uploads.c.id == upload)).first()
    if row is None or row.status == "deleted":
        raise NotFound(f"Expected a dataset {upload}, found none")
    if row.kind != "golden":
        raise NotAllowed(
            f"Expected a golden set, found dataset {upload} for training: what is trained on measures nothing; upload "
            "one with kind=golden"
        )


def _row(connection: Connection, id: int) -> Row[Any]:
    row = connection.execute(select(evaluations).where(evaluations.c.id == id)).first()
    if row is None:
        raise NotFound(f"Expected an evaluation {id}, found none")
    return row


def _of_key(connection: Connection, n: int, key: str) -> Again | None:
    mine = (evaluations.c.n == n, evaluations.c.idempotency_key == key)
    row = connection.execute(select(evaluations).where(*mine)).first()
    return _again(row) if row else None


def _again(row: Row[Any] | None) -> Again:
    assert row is not None  # noqa: S101 - found or made in the same transaction
    fields = {key: value for key, value in row._mapping.items() if key != "idempotency_key"}
    verdict = Verdict.model_validate_json(row.verdict) if row.verdict else None
    return Again(**{**fields, "verdict": verdict})
