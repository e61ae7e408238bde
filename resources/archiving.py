"""Taking a version out of what may become champion; its files, its report and its place in the registry stay."""

from sqlalchemy import Connection, select, update

from core.experiments import Design
from resources.event_rows import write_event
from resources.store_errors import NotAllowed
from resources.tables import champions, experiments, utc_now, versions
from resources.version_rows import version_row


def archive_version(connection: Connection, lineage: str, n: int, reason: str | None, by: str) -> None:
    """Raises as `Champions.archive` says."""
    row = version_row(connection, n)
    if row.state not in ("promoted", "rejected"):
        raise NotAllowed(f"Expected a version that is concluded, found v{n} in state {row.state}")
    if connection.execute(select(champions.c.n).where(champions.c.n == n)).first():
        raise NotAllowed(f"Expected a version that does not answer, found v{n} champion: promote another or roll back")
    if named := _experiment_of(connection, lineage, n):
        raise NotAllowed(f"Expected a version that no experiment needs, found v{n} in {named}: stop or conclude it")
    if row.archived_at is not None:
        return
    connection.execute(update(versions).where(versions.c.n == n).values(archived_at=utc_now()))
    mine = (experiments.c.lineage == lineage) & (experiments.c.staged == n)
    connection.execute(update(experiments).where(mine).values(staged=None))
    message = f"v{n} is archived, asked by {by}: {reason or 'it is no longer wanted'}"
    write_event(connection, "archived", message, n, {"by": by, "reason": reason})


def _experiment_of(connection: Connection, lineage: str, n: int) -> str | None:
    open_ones = experiments.c.status.in_(["draft", "running"]) & (experiments.c.lineage == lineage)
    for row in connection.execute(select(experiments).where(open_ones)):
        if any(arm.version == n for arm in Design.model_validate(row.design).arms):
            return str(row.name)
    return None
