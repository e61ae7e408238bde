"""What a person deployed: versions held in every engine, and how many engines the next start begins with."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from core.experiments import Design
from resources.champions import champion_row, model_name
from resources.database import Database
from resources.event_rows import write_event
from resources.model_rows import model_row
from resources.store_errors import NotAllowed
from resources.tables import experiments, pins, settings, utc_now, versions

START_SETTINGS = (
    "engine_replicas",
    "engine_max_replicas",
    "engine_gpu_fraction",
    "second_engine_gpu_fraction",
    "agent_gpu_fraction",
    "rest_gpu_fraction",
)

_KEY = "deployment"


class Deployments:
    def __init__(self, database: Database, lineage: str) -> None:
        self._database = database
        self._lineage = lineage

    def chosen(self) -> dict[str, int | float]:
        """What the next start takes instead of its settings; empty: nothing."""
        return self._database.read(_chosen)

    def choose(self, values: Mapping[str, int | float | None], by: str) -> dict[str, int | float]:
        """Change some; None goes back to the settings. All that is chosen now."""

        def work(connection: Connection) -> dict[str, int | float]:
            before = _chosen(connection)
            merged = {**before, **values}
            after = {name: value for name in START_SETTINGS if (value := merged.get(name)) is not None}
            if after == before:
                return before
            connection.execute(delete(settings).where(settings.c.key == _KEY))
            if after:
                row = {"key": _KEY, "value": after, "changed_at": utc_now(), "changed_by": by}
                connection.execute(insert(settings).values(**row))
            told = ", ".join(f"{name} {value:g}" for name, value in after.items()) or "what the settings say"
            message = f"The next start takes {told}, asked by {by}"
            write_event(connection, "deployment_changed", message, data={"chosen": after, "by": by})
            return after

        return self._database.write(work)

    def pinned(self) -> list[int]:
        """The versions of this lineage that every engine should hold, the first pinned first."""
        return self._database.read(lambda c: _pinned(c, self._lineage))

    def pin(self, n: int, by: str, *, places: int, on_disk: Collection[str] | None = None) -> None:
        """Hold version n; again does nothing. NotFound; NotAllowed for another base, without its files, or where more
        would have to be held than an engine has `places`.
        """

        def work(connection: Connection) -> None:
            model = model_row(connection, self._lineage, n)
            before = _pinned(connection, self._lineage)
            if n in before:
                return
            if model.base_fingerprint != self._lineage:
                raise NotAllowed(f"Expected a version of the base that is served, found v{n} of another base")
            if on_disk is not None and f"v{n}" not in on_disk:
                raise NotAllowed(f"Expected the files of v{n} on disk, found none: old versions are removed")
            held = {n, *before, *_needed(connection, self._lineage)}
            if len(held) > places:
                names = ", ".join(model_name(one) for one in sorted(held))
                message = f"Expected at most {places} versions in an engine at once, found {names}"
                raise NotAllowed(f"{message}: raise ENGINE_ADAPTERS or unpin one")
            connection.execute(insert(pins).values(n=n, pinned_at=utc_now()))
            write_event(connection, "pinned", f"v{n} is held in every engine, asked by {by}", n, {"by": by})

        self._database.write(work)

    def unpin(self, n: int, by: str) -> None:
        """Hold it no longer for this reason; again does nothing. NotFound where there is no such model."""

        def work(connection: Connection) -> None:
            model_row(connection, self._lineage, n)
            if connection.execute(delete(pins).where(pins.c.n == n)).rowcount:
                write_event(connection, "unpinned", f"v{n} need not be held, asked by {by}", n, {"by": by})

        self._database.write(work)


def _chosen(connection: Connection) -> dict[str, int | float]:
    row: dict[str, Any] | None = connection.execute(
        select(settings.c.value).where(settings.c.key == _KEY)
    ).scalar_one_or_none()
    return {name: row[name] for name in START_SETTINGS if row and name in row}


def _pinned(connection: Connection, lineage: str) -> list[int]:
    query = select(pins.c.n).join(versions, versions.c.n == pins.c.n).where(versions.c.base_fingerprint == lineage)
    return list(connection.execute(query.order_by(pins.c.pinned_at, pins.c.n)).scalars())


def _needed(connection: Connection, lineage: str) -> set[int]:
    """The champion, the one before, and the arms of what runs."""
    row = champion_row(connection, lineage)
    found = {row.n, row.previous} if row else set()
    running = select(experiments.c.design).where(experiments.c.lineage == lineage, experiments.c.running.is_not(None))
    for design in connection.execute(running).scalars():
        found |= {arm.version for arm in Design.model_validate(design).arms}
    return {n for n in found if n is not None}
