"""A version seen as a job: its status, and a page of many. What waits is the job of the next number."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, String, and_, cast, func, literal, not_, select

from core.wish import WISH, Wish, wish_in
from resources.conversations import Page
from resources.progress import Progress, latest_reports
from resources.store_errors import NotFound
from resources.tables import triggers, versions
from resources.text_search import contains
from resources.version_rows import Version, unfinished_row, version_of
from resources.waiting_triggers import JOB, next_number, waiting_triggers

Status = Literal["pending", "running", "stopped", "completed", "failed", "cancelled"]

_v = versions.c
_ENDED: dict[str, Status] = {
    "trained": "completed",
    "promoted": "completed",
    "rejected": "completed",
    "failed": "failed",
    "abandoned": "cancelled",
}


@dataclass(frozen=True)
class Job:
    """`version` is None while nobody began it; `progress` is the last report of its trainer.

    `behind` is the unfinished version that a job waits for.
    """

    n: int
    status: Status
    wish: Wish
    asked_at: datetime
    version: Version | None = None
    progress: Progress | None = None
    behind: int | None = None


def job_row(connection: Connection, n: int) -> Job:
    """NotFound where there is no version n, nor anything that waits to become it."""
    row = connection.execute(select(versions).where(_v.n == n)).first()
    if row is not None:
        return _jobs(connection, [row])[0]
    waiting = waiting_as_job(connection)
    if waiting is None or waiting.n != n:
        raise NotFound(f"Expected a job {n}, found none: GET /api/v1/admin/finetuning/jobs lists them")
    return waiting


def waiting_as_job(connection: Connection) -> Job | None:
    """All requests that wait are asking for one version, the next."""
    rows = connection.execute(waiting_triggers().order_by(triggers.c.id)).all()
    if not rows:
        return None
    first = next((row for row in rows if row.kind == JOB), rows[0])
    before = unfinished_row(connection)
    behind = int(before.n) if before else None
    return Job(next_number(connection), "pending", wish_in(first.params), first.created_at, behind=behind)


def jobs_page(connection: Connection, status: Status | None, search: str | None, page: int, size: int) -> Page[Job]:
    """Newest first, pages from 1."""
    filters = ([_is(status)] if status else []) + ([_named(search)] if search else [])
    waiting = waiting_as_job(connection)
    first = [waiting] if waiting and status in (None, "pending") and _is_named(waiting, search) else []
    offset = (page - 1) * size
    shown = first[offset : offset + size]
    query = select(versions).where(*filters).order_by(_v.n.desc())
    rows = connection.execute(query.limit(size - len(shown)).offset(max(0, offset - len(first)))).all()
    total = connection.execute(select(func.count()).select_from(versions).where(*filters)).scalar_one()
    return Page([*shown, *_jobs(connection, rows)], page, size, int(total) + len(first))


def status_of(version: Version) -> Status:
    """What the store knows; whether the owner of a lease is alive, only who watches it does."""
    if version.unfinished and version.desired == "stop":
        return "stopped"
    if version.state != "open":
        return _ENDED[version.state]
    return "pending" if version.released else "running"


def name_of(job: Job) -> str:
    """As a person named it, else as the version is called."""
    return job.wish.job_name or f"v{job.n}"


def _is(status: Status) -> ColumnElement[bool]:
    """The same as `status_of`, as the database says it."""
    stopped = and_(_v.in_flight.is_not(None), _v.desired == "stop")
    if status == "stopped":
        return stopped
    if status in ("pending", "running"):
        return and_(_v.state == "open", _v.desired == "run", _v.released == (status == "pending"))
    return and_(_v.state.in_([state for state, name in _ENDED.items() if name == status]), not_(stopped))


def _named(search: str) -> ColumnElement[bool]:
    native = literal("v").concat(cast(_v.n, String))
    own = _v.settings[WISH]["job_name"].as_string()
    return contains(func.coalesce(own, native), search)


def _is_named(job: Job, search: str | None) -> bool:
    return search is None or search.lower() in name_of(job).lower()


def _jobs(connection: Connection, rows: Sequence[Row[Any]]) -> list[Job]:
    reports = latest_reports(connection, [row.n for row in rows])
    return [_job(version_of(row), reports.get(row.n)) for row in rows]


def _job(version: Version, progress: Progress | None) -> Job:
    return Job(version.n, status_of(version), wish_in(version.settings), version.created_at, version, progress)
