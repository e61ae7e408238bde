"""Datasets that a person uploaded: their rows, and a log of every check of their quality."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, Select, func, insert, select, update
from sqlalchemy import Text as TextType
from sqlalchemy import cast as sql_cast

from resources.conversation_rows import CHUNK
from resources.conversations import Page
from resources.database import Database
from resources.event_rows import write_event
from resources.line_findings import MOST_FINDINGS, LineFinding
from resources.store_errors import NotAllowed, NotFound
from resources.tables import quality_findings, quality_logs, uploads, utc_now
from resources.text_search import contains

# an ingestion speaks after every few hundred conversations
SILENT = timedelta(minutes=2)

Status = Literal["uploaded", "validated", "invalid", "preprocessed", "deleted"]
Kind = Literal["training", "golden"]


@dataclass(frozen=True)
class Upload:
    """An uploaded dataset. `stats` are counts and means, `ingested` what its ingestion came to; neither holds text."""

    id: int
    name: str
    version: str
    format: str
    kind: Kind
    status: Status
    file_name: str
    extension: str
    size_bytes: int
    sha256: str
    mapping: dict[str, Any]
    tags: list[str]
    dataset_metadata: dict[str, Any]
    stats: dict[str, Any]
    quality_score: float | None
    ingested: dict[str, Any]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class QualityLog:
    """One run of the checks over one upload; `reasons` counts each rule over all findings, also those not kept."""

    id: int
    upload: int
    is_valid: bool
    quality_score: float | None
    total: int
    valid: int
    pii: dict[str, int]
    duplicates: dict[str, int]
    reasons: dict[str, int]
    checks: list[str]
    rules_version: str
    created_at: datetime


class Uploads:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, values: Mapping[str, Any], place: Callable[[int], None]) -> Upload:
        """A new row, and its file brought to its place by its number, both or none; `place` may be called again.

        NotAllowed where the name has such a version already.
        """

        def work(connection: Connection) -> Upload:
            _check_new(connection, values["name"], values["version"])
            now = utc_now()
            fresh = {"status": "uploaded", "ingested": {}, "created_at": now, "updated_at": now, **values}
            row = connection.execute(insert(uploads).values(**fresh).returning(*uploads.c)).one()
            data = {"dataset_id": row.id, "size_bytes": row.size_bytes, "kind": row.kind}
            write_event(connection, "dataset_uploaded", f"dataset {row.id} was uploaded", data=data)
            place(row.id)
            return _upload(row)

        return self._database.write(work)

    def get(self, id: int) -> Upload:
        """Also a deleted one; NotFound when there never was one."""
        return _upload(self._database.read(lambda c: _row(c, id)))

    def page(
        self,
        page: int = 1,
        page_size: int = 50,
        *,
        status: Status | None = None,
        search: str | None = None,
        tags: Sequence[str] = (),
        kind: Kind | None = None,
    ) -> Page[Upload]:
        """Newest first, pages from 1; deleted ones only when asked for. Each of `tags` must be there."""
        filters = [uploads.c.status == status if status else uploads.c.status != "deleted"]
        filters += [uploads.c.kind == kind] if kind else []
        filters += [contains(uploads.c.name, search)] if search else []
        as_text = sql_cast(uploads.c.tags, TextType)
        filters += [contains(as_text, f'"{tag}"') for tag in tags]

        def work(connection: Connection) -> Page[Upload]:
            found, total = _page(connection, select(uploads).where(*filters), uploads.c.id, page, page_size)
            return Page([_upload(row) for row in found], page, page_size, total)

        return self._database.read(work)

    def being_ingested(self, now: datetime) -> int | None:
        """A dataset that is being taken in; one of which nothing was heard for a while was broken off."""
        columns = uploads.c
        query = select(columns.id, columns.ingested).where(columns.updated_at > now - SILENT).order_by(columns.id)
        rows = self._database.read(lambda c: c.execute(query.limit(1_000)).all())
        return next((int(row.id) for row in rows if (row.ingested or {}).get("state") == "running"), None)

    def change(self, id: int, values: Mapping[str, Any]) -> Upload:
        """NotFound, or NotAllowed where it is deleted."""

        def work(connection: Connection) -> Upload:
            known = _alive(connection, id)
            if values.get("name", known.name) != known.name:
                _check_new(connection, values["name"], known.version)
            mine = update(uploads).where(uploads.c.id == id)
            row = connection.execute(mine.values(**values, updated_at=utc_now()).returning(*uploads.c)).one()
            return _upload(row)

        return self._database.write(work)

    def delete(self, id: int) -> None:
        """The row and its log stay, marked as deleted; again does nothing."""

        def work(connection: Connection) -> None:
            if _row(connection, id).status == "deleted":
                return
            mine = update(uploads).where(uploads.c.id == id)
            connection.execute(mine.values(status="deleted", updated_at=utc_now()))
            write_event(connection, "dataset_deleted", f"dataset {id} was deleted", data={"dataset_id": id})

        self._database.write(work)

    def log(self, id: int, found: Mapping[str, Any], findings: Sequence[LineFinding]) -> QualityLog:
        """Keep what a run of the checks found, and let the upload's status and score say so."""

        def work(connection: Connection) -> QualityLog:
            _alive(connection, id)
            now = utc_now()
            fresh = insert(quality_logs).values(upload=id, created_at=now, **found).returning(*quality_logs.c)
            row = connection.execute(fresh).one()
            _write_findings(connection, row.id, findings[:MOST_FINDINGS])
            values = {"status": "validated" if row.is_valid else "invalid", "quality_score": row.quality_score}
            connection.execute(update(uploads).where(uploads.c.id == id).values(**values, updated_at=now))
            return _log(row)

        return self._database.write(work)

    def logs(self, id: int, limit: int = 50) -> list[QualityLog]:
        """Newest first."""
        query = select(quality_logs).where(quality_logs.c.upload == id).order_by(quality_logs.c.id.desc()).limit(limit)
        return [_log(row) for row in self._database.read(lambda c: c.execute(query).all())]

    def findings(
        self,
        log: int,
        page: int = 1,
        page_size: int = 50,
        *,
        rule: str | None = None,
        severity: str | None = None,
    ) -> Page[LineFinding]:
        """In the order of the file."""
        columns = quality_findings.c
        wanted = {columns.log: log, columns.rule: rule, columns.severity: severity}
        query = select(quality_findings).where(*(c == value for c, value in wanted.items() if value is not None))

        def work(connection: Connection) -> Page[LineFinding]:
            found, total = _page(connection, query, columns.id, page, page_size, newest_first=False)
            return Page([_finding(row) for row in found], page, page_size, total)

        return self._database.read(work)


def _page(
    connection: Connection,
    query: Select[Any],
    order: ColumnElement[Any],
    page: int,
    size: int,
    newest_first: bool = True,
) -> tuple[Sequence[Row[Any]], int]:
    total = connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()
    ordered = query.order_by(order.desc() if newest_first else order).limit(size).offset((page - 1) * size)
    return connection.execute(ordered).all(), total


def _row(connection: Connection, id: int) -> Row[Any]:
    row = connection.execute(select(uploads).where(uploads.c.id == id)).first()
    if row is None:
        raise NotFound(f"Expected a dataset {id}, found none")
    return row


def _check_new(connection: Connection, name: str, version: str) -> None:
    same = (uploads.c.name == name, uploads.c.version == version, uploads.c.status != "deleted")
    if (there := connection.execute(select(uploads.c.id).where(*same).limit(1)).scalar()) is not None:
        raise NotAllowed(f"Expected a version that the name does not have yet, found dataset {there}: name another one")


def _alive(connection: Connection, id: int) -> Row[Any]:
    row = _row(connection, id)
    if row.status == "deleted":
        raise NotAllowed(f"Expected dataset {id} to be there, found it deleted: upload it again")
    return row


def _write_findings(connection: Connection, log: int, findings: Sequence[LineFinding]) -> None:
    for start in range(0, len(findings), CHUNK):
        part = findings[start : start + CHUNK]
        connection.execute(insert(quality_findings), [{"log": log, **vars(finding)} for finding in part])


def _upload(row: Row[Any]) -> Upload:
    return Upload(**row._mapping)


def _log(row: Row[Any]) -> QualityLog:
    return QualityLog(**row._mapping)


def _finding(row: Row[Any]) -> LineFinding:
    return LineFinding(row.line, row.column, row.rule, row.severity, row.message)
