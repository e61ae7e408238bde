"""Versions: who claimed which conversations, how far it came, and what was decided."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import EllipsisType
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, func, select, update

from core.caps import Caps
from core.scheduling import MAX_ATTEMPTS
from core.verdict import Verdict
from resources.claims import beat, check_held, claim_version, release
from resources.conversation_rows import StoredConversation, stored, with_texts
from resources.database import Database
from resources.endings import abandon_version, conclude_version, fail_attempt, fail_version
from resources.event_rows import write_event
from resources.screening_caps import apply_caps_to_version
from resources.screening_counts import origins
from resources.screening_rows import Screened, Standing, screened_with, write_decisions, write_units
from resources.setting_store import SettingStore
from resources.store_errors import AttemptsExhausted
from resources.tables import conversations, versions
from resources.version_rows import (
    OUT_OF_MEMORY,
    Claim,
    Desired,
    State,
    Version,
    unfinished_row,
    version_of,
    version_row,
)
from resources.version_wishes import desire, stop_cancelled, unfinished_version

__all__ = ["Claim", "Desired", "Performance", "State", "Version", "Versions"]

Result = TypeVar("Result")


@dataclass(frozen=True)
class Performance:
    """Over all finished runs; a rejected candidate is no failure. `mean_seconds` is None before the first."""

    finished: int
    failed: int
    mean_seconds: float | None


class Versions:
    """`max_attempts` at one version: after so many errors and crashes it is failed."""

    def __init__(
        self, database: Database, settings: SettingStore, lineage: str, max_attempts: int = MAX_ATTEMPTS
    ) -> None:
        self.max_attempts = max_attempts
        self._database = database
        self._settings = settings
        self._lineage = lineage

    def claim(
        self,
        owner: str,
        *,
        dead_beat: int | None = None,
        trigger: int | None = None,
    ) -> Claim | None:
        """Take the unfinished version over, or all waiting conversations and triggers as a new one.

        None: nothing eligible waits, or `trigger` waits no more.
        VersionBusy: its owner may be alive (VersionStopped: a person stopped it).
        AttemptsExhausted: it has just been failed.
        """

        def work(connection: Connection) -> Claim | AttemptsExhausted | None:
            now = self._settings.current(connection).public()
            return claim_version(connection, owner, dead_beat, self._lineage, now, self.max_attempts, trigger)

        claim = self._database.write(work)
        if isinstance(claim, AttemptsExhausted):
            raise claim
        return claim

    def hold(self, claim: Claim) -> bool:
        """One heartbeat; False says that the claim is lost."""
        return self._database.write(lambda c: beat(c, claim))

    def release(self, claim: Claim, error: str | None = None) -> None:
        """Give the lease back; a claim that is lost already is left alone."""
        self._database.write(lambda c: release(c, claim, error))

    def rows(self, n: int) -> list[StoredConversation]:
        """The conversations of a version, in their order."""
        query = with_texts().where(conversations.c.version == n).order_by(conversations.c.seq)
        return [stored(row) for row in self._database.read(lambda c: c.execute(query).all())]

    def origins(self, n: int) -> list[tuple[str, str, int]]:
        """Source and provenance of the conversations of a version, and how many, most first."""
        return self._database.read(lambda c: origins(c, n))

    def has_own_to_train_on(self, n: int) -> bool:
        """Whether screening left any conversation of the version itself on the side that is trained on."""
        mine = (conversations.c.version == n, conversations.c.side == "train", ~conversations.c.rejected)
        query = select(conversations.c.seq).where(*mine).limit(1)
        return self._database.read(lambda c: c.execute(query).first()) is not None

    def ids_since(self, n: int, parent: int) -> set[str]:
        """Those of a version and of the finished ones between it and its parent, of which the parent learned nothing.

        They were rejected, or promoted and then rolled back.
        """
        finished = versions.c.state.in_(["rejected", "promoted"])
        between = select(versions.c.n).where(versions.c.n > parent, versions.c.n < n, finished)
        mine = (conversations.c.version == n) | conversations.c.version.in_(between)
        query = select(conversations.c.id).where(mine)
        return set(self._database.read(lambda c: c.execute(query).scalars().all()))

    def users(self, n: int) -> int:
        """How many users wrote the conversations of a version."""
        query = select(func.count(conversations.c.user_id.distinct())).where(conversations.c.version == n)
        return int(self._database.read(lambda c: c.execute(query).scalar_one()))

    def begin_screening(self, claim: Claim, rules: Mapping[str, Any]) -> None:
        """Note the rules; what was screened under others is to be screened again."""
        self._held(claim, lambda c: screened_with(c, claim.n, rules))

    def screen(self, claim: Claim, decide: Callable[[Connection], Screened]) -> Standing:
        """Store what is decided of some conversations of this version, in one transaction; returns what stands now.

        A side and a unit, once stored, stay.
        """

        def work(connection: Connection) -> Standing:
            screened = decide(connection)
            write_units(connection, screened.units)
            write_decisions(connection, claim.n, screened.decided)
            return screened.standing

        return self._held(claim, work)

    def cap(self, claim: Claim, caps: Caps) -> None:
        """Reject what is over a cap, once all conversations of the version are screened."""
        self._held(claim, lambda c: apply_caps_to_version(c, claim.n, caps))

    def set_dataset(self, claim: Claim, dataset_hash: str, counts: Mapping[str, Any]) -> None:
        """Note which dataset is trained on; `counts` join those of the claim."""

        def change(row: Row[Any]) -> dict[str, Any]:
            return {"dataset_hash": dataset_hash, "counts": {**row.counts, **counts}}

        self._change(claim, change)

    def set_mlflow_run(self, claim: Claim, run_id: str) -> None:
        self._change(claim, lambda row: {"mlflow_run_id": run_id})

    def mark_trained(self, claim: Claim, adapter_sha256: str, training: Mapping[str, Any]) -> None:
        """open to trained; Fenced when somebody else holds the version."""

        def work(connection: Connection) -> None:
            row = check_held(connection, claim, "open")
            kept = {name: row.training[name] for name in (OUT_OF_MEMORY,) if name in row.training}
            values = {"state": "trained", "adapter_sha256": adapter_sha256, "training": {**training, **kept}}
            connection.execute(update(versions).where(versions.c.n == claim.n).values(**values))
            write_event(connection, "trained", f"v{claim.n} is trained and waits for its verdict", claim.n)

        self._database.write(work)

    def set_verdict(self, claim: Claim, verdict: Verdict, report_path: str) -> None:
        """Store what the gate said, before anything shows it."""

        def work(connection: Connection) -> None:
            check_held(connection, claim, "trained")
            _write_verdict(connection, claim.n, verdict, report_path)

        self._database.write(work)

    def reject_untrained(self, claim: Claim, verdict: Verdict) -> Version:
        """open to rejected, where nothing is left to train on: its conversations stay claimed."""
        if verdict.promoted:
            raise ValueError(f"Expected a rejecting verdict of v{claim.n}, which has no adapter, found a promoting one")

        def work(connection: Connection) -> Version:
            check_held(connection, claim, "open")
            _write_verdict(connection, claim.n, verdict, None)
            conclude_version(connection, version_row(connection, claim.n), None, None)
            return version_of(version_row(connection, claim.n))

        return self._database.write(work)

    def conclude(
        self,
        claim: Claim,
        mlflow_version: str | None,
        override_reason: str | None = None,
        *,
        compared_with: int | EllipsisType | None = ...,
    ) -> Version:
        """trained to promoted, which moves the champion, or to rejected.

        NotAllowed without a verdict, and to promote while the champion is not `compared_with` (None: the base).
        """

        def work(connection: Connection) -> Version:
            row = check_held(connection, claim, "trained")
            conclude_version(connection, row, mlflow_version, override_reason, compared_with)
            return version_of(version_row(connection, claim.n))

        return self._database.write(work)

    def set_registered(self, n: int, mlflow_version: str) -> None:
        """Note the registry's number of a version that was concluded before the registry could be asked."""
        mine = update(versions).where(versions.c.n == n)
        self._database.write(lambda c: c.execute(mine.values(mlflow_version=mlflow_version)))

    def fail(self, claim: Claim | int, error_class: str, message: str) -> Version:
        """Record a failed attempt and release; after the last one the version is failed and its rows wait again."""

        def work(connection: Connection) -> Version:
            row = unfinished_version(connection, claim) if isinstance(claim, int) else check_held(connection, claim)
            if row.attempts >= self.max_attempts:
                fail_version(connection, row, error_class, message)
            else:
                fail_attempt(connection, row, error_class, message)
            return version_of(version_row(connection, row.n))

        return self._database.write(work)

    def abandon(self, n: int, reason: str) -> Version:
        """Give an unfinished version up: its conversations wait again."""

        def work(connection: Connection) -> Version:
            abandon_version(connection, unfinished_version(connection, n), reason)
            return version_of(version_row(connection, n))

        return self._database.write(work)

    def stop(self, n: int) -> Version:
        """Ask its owner to stop after a checkpoint, and others not to take it over."""
        return self._desire(n, "stop")

    def stop_cancelled(self, n: int, cancelled: datetime) -> bool:
        """The same where its run was cancelled in Dagster's pages; False where a person let it go on since."""
        return self._database.write(lambda c: stop_cancelled(c, n, cancelled))

    def resume(self, n: int) -> Version:
        """Let it go on; said even where nobody stopped it: its run may have been cancelled in Dagster's pages."""
        return self._desire(n, "run")

    def get(self, n: int) -> Version:
        """NotFound when there is none."""
        return version_of(self._database.read(lambda c: version_row(c, n)))

    def unfinished(self) -> Version | None:
        row = self._database.read(unfinished_row)
        return version_of(row) if row else None

    def history(self, limit: int = 50, offset: int = 0) -> list[Version]:
        """Newest first."""
        query = select(versions).order_by(versions.c.n.desc()).limit(limit).offset(offset)
        return [version_of(row) for row in self._database.read(lambda c: c.execute(query).all())]

    def count(self) -> int:
        return int(self._database.read(lambda c: c.execute(select(func.count()).select_from(versions)).scalar_one()))

    def next_number(self) -> int:
        highest = self._database.read(lambda c: c.execute(select(func.max(versions.c.n))).scalar_one())
        return int(highest or 0) + 1

    def performance(self) -> Performance:
        ended = ["promoted", "rejected", "failed"]
        query = select(versions.c.state, versions.c.started_at, versions.c.finished_at)
        rows = self._database.read(lambda c: c.execute(query.where(versions.c.state.in_(ended))).all())
        seconds = [(row.finished_at - row.started_at).total_seconds() for row in rows if row.state != "failed"]
        mean = sum(seconds) / len(seconds) if seconds else None
        return Performance(len(rows), sum(row.state == "failed" for row in rows), mean)

    def _change(self, claim: Claim, change: Any) -> None:
        def work(connection: Connection) -> None:
            row = check_held(connection, claim)
            connection.execute(update(versions).where(versions.c.n == claim.n).values(**change(row)))

        self._database.write(work)

    def _held(self, claim: Claim, write: Callable[[Connection], Result]) -> Result:
        def work(connection: Connection) -> Result:
            check_held(connection, claim)
            return write(connection)

        return self._database.write(work)

    def _desire(self, n: int, desired: Desired) -> Version:
        def work(connection: Connection) -> Version:
            desire(connection, n, desired)
            return version_of(version_row(connection, n))

        return self._database.write(work)


def _write_verdict(connection: Connection, n: int, verdict: Verdict, report_path: str | None) -> None:
    values = {"verdict": verdict.model_dump_json(), "report_path": report_path}
    connection.execute(update(versions).where(versions.c.n == n).values(**values))
    said = "promote" if verdict.promoted else "reject"
    data = {"promoted": verdict.promoted, "reasons": list(verdict.reasons)}
    write_event(connection, "verdict", f"The gate says {said} v{n}", n, data)
