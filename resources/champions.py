"""Who answers as `production`: one row a lineage. Every way to another champion moves this row, and nothing else."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from types import EllipsisType
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from resources.archiving import archive_version
from resources.database import Database
from resources.event_rows import write_event
from resources.knocking import changed
from resources.store_errors import NotAllowed, NotFound
from resources.tables import champion_moves, champions, experiments, utc_now, versions

_ENGINE = "the engine"


@dataclass(frozen=True)
class Champion:
    """`n` is None while the base answers; `seq` grows with every move; `served` is what the engine last took over."""

    n: int | None
    previous: int | None
    seq: int
    alias_confirmed: int | None
    served: int | None
    changed_at: datetime | None
    alias_intended: int | None = None


class Champions:
    def __init__(self, database: Database, lineage: str) -> None:
        self._database = database
        self._lineage = lineage

    def get(self) -> Champion:
        row = self._database.read(lambda c: champion_row(c, self._lineage))
        if row is None:
            return Champion(None, None, 0, None, None, None)
        names = ("n", "previous", "seq", "alias_confirmed", "served", "changed_at", "alias_intended")
        return Champion(*(getattr(row, name) for name in names))

    def promote(
        self, n: int, reason: str | None = None, *, by: str, force: bool = False, on_disk: Collection[str] | None = None
    ) -> Champion:
        """Make v`n` the champion: what passed its gate, or with `force` and a reason whatever was trained.

        NotFound; NotAllowed for what is archived (only `roll_back` brings it back), not concluded, of another base, or
        not in `on_disk`, the names whose files are there (None: all). The champion before is archived, yet resident.
        """
        if force and not (reason or "").strip():
            raise NotAllowed(f"Expected a reason to promote v{n} without its gate, found none: say why")

        def work(connection: Connection) -> None:
            row = champion_row(connection, self._lineage)
            if row is not None and row.n == n:
                return
            found = _check_may_answer(connection, n, self._lineage, force)
            if found.archived_at is not None and not force:
                raise NotAllowed(f"Expected a version that was never archived, found v{n} archived: roll back to it")
            _check_on_disk(n, on_disk)
            self._answer_with(connection, n, reason or "it is wanted", by, force, "champion_moved")

        self._database.write(work)
        return self.get()

    def roll_back(
        self,
        reason: str | None = None,
        *,
        by: str,
        to: int | EllipsisType | None = ...,
        on_disk: Collection[str] | None = None,
    ) -> Champion:
        """Bring the champion before back, which loads nothing, or `to` (None: the base), archived or not.

        Once more undoes it. NotFound; NotAllowed where nothing was before, and for a `to` that never passed its gate.
        """

        def work(connection: Connection) -> None:
            row = champion_row(connection, self._lineage)
            if to is ... and (row is None or row.seq == 0):
                raise NotAllowed("Expected a champion before this one, found none: nothing was ever promoted")
            n = (row.previous if row else None) if isinstance(to, EllipsisType) else to
            if n == (row.n if row else None):
                return
            if n is not None:
                _check_may_answer(connection, n, self._lineage, row is not None and n == row.previous)
                _check_on_disk(n, on_disk)
            self._answer_with(connection, n, reason or "a roll back", by, False, "rolled_back")

        self._database.write(work)
        return self.get()

    def archive(self, n: int, reason: str | None = None, *, by: str) -> None:
        """No candidate any more: of what is archived, only `roll_back` makes a champion. Twice is once.

        NotFound; NotAllowed for the champion, for what an open experiment names, and for what is not concluded.
        """
        self._database.write(lambda c: archive_version(c, self._lineage, n, reason, by))

    def move(self, n: int | None, reason: str, by: str, *, override: bool = False) -> Champion:
        """Make n (None: the base) the champion; NotAllowed if it did not pass its gate, unless overridden."""

        def work(connection: Connection) -> None:
            if not reason.strip():
                raise NotAllowed("Expected a reason for another champion, found none: say why")
            row = champion_row(connection, self._lineage)
            current = row.n if row else None
            if n == current:
                return
            if n is not None:
                _check_may_answer(connection, n, self._lineage, override)
            back = n is None or (current is not None and n < current)
            self._answer_with(connection, n, reason, by, override, "rolled_back" if back else "champion_moved")

        self._database.write(work)
        return self.get()

    def give_up(self, n: int, answers: int | None, reason: str) -> bool:
        """Where n is champion but refused by the engine, whoever `answers` (None: the base) is champion again."""

        def work(connection: Connection) -> bool:
            row = champion_row(connection, self._lineage)
            if row is None or row.n != n or n == answers:
                return False
            if answers is not None:
                _check_may_answer(connection, answers, self._lineage, override=True)
            self._answer_with(connection, answers, reason, _ENGINE, False, "rolled_back")
            _set(connection, self._lineage, previous=_replaced_by(connection, self._lineage, answers))
            return True

        return self._database.write(work)

    def intend_alias(self, n: int | None) -> None:
        """Note that the registry's alias is about to say n: who finds n there after a crash knows who wrote it."""
        self._database.write(lambda c: _set(c, self._lineage, alias_intended=n))

    def confirm_alias(self, n: int | None) -> None:
        """Note that the registry's alias now says n."""
        self._database.write(lambda c: _set(c, self._lineage, alias_confirmed=n, alias_intended=n))

    def mark_served(self, n: int | None, seconds: float) -> None:
        """Note that the engine answers with n, `seconds` after it saw the move."""

        def work(connection: Connection) -> None:
            row = champion_row(connection, self._lineage)
            if row is not None and row.served == n:
                return
            _set(connection, self._lineage, served=n)
            data = {"seconds": round(seconds, 3), "from": row.served if row else None}
            write_event(connection, "swapped", f"{model_name(n)} answers after {seconds:.1f} s", n, data)

        self._database.write(work)

    def _answer_with(
        self, connection: Connection, n: int | None, reason: str, by: str, override: bool, event: str
    ) -> None:
        row = champion_row(connection, self._lineage)
        current = row.n if row else None
        move_champion(connection, self._lineage, n, reason, by, override=override)
        message = f"{model_name(n)} answers instead of {model_name(current)}, asked by {by}: {reason}"
        data = {"from": current, "to": n, "by": by, "reason": reason, "override": override}
        write_event(connection, event, message, n, data)


def model_name(n: int | None) -> str:
    return "base" if n is None else f"v{n}"


def champion_row(connection: Connection, lineage: str) -> Row[Any] | None:
    return connection.execute(select(champions).where(champions.c.lineage == lineage)).first()


def move_champion(
    connection: Connection, lineage: str, n: int | None, reason: str, by: str, *, override: bool = False
) -> None:
    """Set the row, and keep who asked and why; the one before becomes `previous` and is archived, the new one is not.

    An override is noted at the version too.
    """
    row = champion_row(connection, lineage)
    before, seq, now = (row.n, row.seq, utc_now()) if row else (None, 0, utc_now())
    _set(connection, lineage, n=n, previous=before, seq=seq + 1, changed_at=now)
    if n is not None:  # what answers waits at no staging
        waited = (experiments.c.lineage == lineage) & (experiments.c.staged == n)
        connection.execute(update(experiments).where(waited).values(staged=None))
    changed(connection)
    for version, archived_at in ((before, now), (n, None)):
        if version is not None:
            connection.execute(update(versions).where(versions.c.n == version).values(archived_at=archived_at))
    if override and n is not None:
        connection.execute(update(versions).where(versions.c.n == n).values(override_reason=reason))
    kept = {"lineage": lineage, "n": n, "previous": before, "reason": reason, "moved_by": by[:255]}
    connection.execute(insert(champion_moves).values(**kept, override=override, moved_at=now))


def _set(connection: Connection, lineage: str, **values: Any) -> None:
    if champion_row(connection, lineage) is None:
        connection.execute(insert(champions).values(lineage=lineage, seq=0))
    connection.execute(update(champions).where(champions.c.lineage == lineage).values(**values))


def _check_may_answer(connection: Connection, n: int, lineage: str, override: bool) -> Row[Any]:
    row = connection.execute(select(versions).where(versions.c.n == n)).first()
    if row is None:
        raise NotFound(f"Expected a version v{n}, found none")
    if row.base_fingerprint != lineage:
        raise NotAllowed(f"Expected a version of the base that is served, found v{n} of another base")
    if row.adapter_sha256 is None or row.state not in ("promoted", "rejected"):
        raise NotAllowed(f"Expected a version that was trained and concluded, found v{n} in state {row.state}")
    if row.method == "full":
        raise NotAllowed(
            f"Expected a version that is an adapter, found v{n}, which is a whole model: to serve it, set BASE_MODEL "
            f"to trained_models/v{n} in STATE_DIR and start again"
        )
    if row.state == "rejected" and not override:
        raise NotAllowed(f"Expected a version that passed its gate, found v{n} in state {row.state}: override it")
    return row


def _check_on_disk(n: int, on_disk: Collection[str] | None) -> None:
    if on_disk is not None and f"v{n}" not in on_disk:
        raise NotAllowed(
            f"Expected the files of v{n} on disk, found none: old versions are removed, their reports stay"
        )


def _replaced_by(connection: Connection, lineage: str, n: int | None) -> int | None:
    """Whom n replaced when it was made champion the last time, by anybody but the engine: what that gave up is none."""
    mine = (champion_moves.c.lineage == lineage) & (champion_moves.c.n == n) & (champion_moves.c.moved_by != _ENGINE)
    query = select(champion_moves.c.previous).where(mine).order_by(champion_moves.c.id.desc()).limit(1)
    return connection.execute(query).scalar_one_or_none() if n is not None else None
