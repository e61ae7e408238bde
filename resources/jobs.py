"""Jobs: asked for, looked at, stopped, resumed, cancelled. A job is a version, or what waits to become the next one."""

from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from core.wish import WISH, Wish
from resources.conversation_rows import wanted_of
from resources.conversations import Page
from resources.database import Database
from resources.endings import abandon_version
from resources.event_rows import write_event
from resources.job_rows import Job, Status, job_row, jobs_page, waiting_as_job
from resources.setting_store import SettingStore, unpause
from resources.store_errors import NotAllowed, NotFound
from resources.tables import conversations, triggers, uploads, utc_now, versions
from resources.version_rows import Desired
from resources.version_wishes import desire, unfinished_version
from resources.waiting_triggers import JOB, LINEAGE, give_up_waiting, waiting_job, waiting_triggers

__all__ = ["Job", "Jobs", "Status"]

BY = "POST /api/v1/admin/finetuning/jobs"


class Jobs:
    def __init__(self, database: Database, settings: SettingStore, lineage: str) -> None:
        self._database = database
        self._settings = settings
        self._lineage = lineage

    def ask(self, wish: Wish, key: str | None = None) -> Job:
        """A job that begins when no version is unfinished; with a key that was used before, the one of then.

        NotFound without the dataset. NotAllowed where training is switched off, another job waits, or nothing waits
        that it could train on. A pause of automatic training ends: a person acted.
        """

        def work(connection: Connection) -> Job:
            before = _of_key(connection, key)
            if before is not None:
                return job_row(connection, before)
            self._check(connection, wish)
            values = {"kind": JOB, "force": True, "params": {WISH: wish.stored(), LINEAGE: self._lineage}}
            fresh = (
                insert(triggers).values(**values, idempotency_key=key, created_at=utc_now()).returning(triggers.c.id)
            )
            id = connection.execute(fresh).scalar_one()
            job = waiting_as_job(connection)
            assert job is not None  # noqa: S101 -- it was written a moment ago
            data = {"trigger": id, "force": True, "job": job.n, "wish": wish.stored()}
            write_event(connection, "trigger_added", f"Training of v{job.n} was asked for as a job", data=data)
            unpause(connection, BY)
            return job

        return self._database.write(work)

    def get(self, n: int) -> Job:
        """NotFound where there is none."""
        return self._database.read(lambda c: job_row(c, n))

    def page(
        self, page: int = 1, page_size: int = 50, *, status: Status | None = None, search: str | None = None
    ) -> Page[Job]:
        """Newest first, pages from 1."""
        return self._database.read(lambda c: jobs_page(c, status, search, page, page_size))

    def stop(self, n: int) -> Job:
        """Ask for a checkpoint and a halt; NotAllowed where it has not begun or is over."""
        return self._desire(n, "stop")

    def resume(self, n: int) -> Job:
        """Let a stopped job go on, or one that failed be tried again at once; a running one is left alone."""
        return self._desire(n, "run")

    def cancel(self, n: int, reason: str) -> Job:
        """Give it up for good: its conversations wait again. NotAllowed once it is over; again it changes nothing."""

        def work(connection: Connection) -> Job:
            job = job_row(connection, n)
            if job.status == "cancelled":
                return job
            if job.version is None:
                rows = connection.execute(waiting_triggers().order_by(triggers.c.id)).all()
                give_up_waiting(connection, rows, self._lineage, reason)
            else:
                abandon_version(connection, unfinished_version(connection, n), reason)
            return job_row(connection, n)

        return self._database.write(work)

    def _desire(self, n: int, desired: Desired) -> Job:
        def work(connection: Connection) -> Job:
            job = job_row(connection, n)
            if job.version is None:
                raise NotAllowed(f"Expected job {n} to have begun, found it pending: it can be cancelled")
            running = job.status == "running" or (job.version.unfinished and not job.version.released)
            if not (desired == "run" and running and job.version.desired == "run"):
                desire(connection, n, desired)
            return job_row(connection, n)

        return self._database.write(work)

    def _check(self, connection: Connection, wish: Wish) -> None:
        if not self._settings.current(connection).finetune_enabled:
            raise NotAllowed("Expected finetune_enabled=true, found false: change it by POST /mlops/settings")
        if waiting_job(connection) is not None:
            job = waiting_as_job(connection)
            found = f"found job {job.n if job else '?'} waiting already"
            raise NotAllowed(f"Expected no job that waits, {found}: cancel it, or ask again once it has begun")
        if wish.dataset_id is not None:
            _check_dataset(connection, wish.dataset_id)
        if connection.execute(select(conversations.c.seq).where(wanted_of(wish)).limit(1)).first() is None:
            what = "everything eligible" if wish.dataset_id is None else f"dataset {wish.dataset_id}"
            raise NotAllowed(
                f"Expected conversations of {what} that wait, found none: there is nothing new to train on"
            )


def _of_key(connection: Connection, key: str | None) -> int | None:
    """The job that this key asked for."""
    if key is None:
        return None
    row: Row[Any] | None = connection.execute(select(triggers).where(triggers.c.idempotency_key == key)).first()
    if row is None:
        return None
    if row.kind != JOB:
        raise NotAllowed("Expected an Idempotency-Key of a job, found it used for another request: take a new one")
    highest = connection.execute(select(func.coalesce(func.max(versions.c.n), 0))).scalar_one()
    return int(row.version or highest + 1)


def _check_dataset(connection: Connection, id: int) -> None:
    row = connection.execute(select(uploads).where(uploads.c.id == id)).first()
    if row is None or row.status == "deleted":
        raise NotFound(f"Expected a dataset {id}, found {'none' if row is None else 'it deleted'}")
    if row.kind != "training":
        raise NotAllowed(f"Expected a training dataset, found dataset {id} of kind {row.kind}: it is never trained on")
    state = (row.ingested or {}).get("state")
    if state != "completed":
        found = "it being taken in" if state == "running" else "it not taken in yet"
        remedy = f"POST /api/v1/admin/training/datasets/{id}/ingest first, and wait until it is done"
        raise NotAllowed(f"Expected the conversations of dataset {id} in the store, found {found}: {remedy}")
