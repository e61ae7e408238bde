"""What would grow for ever: files of old versions, leftovers of killed processes, progress, events. Nothing in use."""

import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, func, select

from resources.conversation_rows import CHUNK
from resources.kept import LAST_VERSIONS, needed
from resources.store import Store
from resources.tables import events, outbox, progress, utc_now, versions
from resources.trained import WHOLE_MODELS

MOST_POINTS = 400
LAST_WHOLE_MODELS = 2
EVENTS_A_TURN = 5_000
# some of what happened is looked up again, such as the keys of imports: the newest of each kind stay
NEWEST_EVENTS = 200
LEFT_OVER_SECONDS = 3_600.0

_NUMBER = re.compile(r"v(\d+)")
_LOG = re.compile(r"trainer-v(\d+)\.(log|err|checkpoints\.json)")


def prune_files(store: Store, state: Path, *, backups: int, logs: int, base: Path | None = None) -> dict[str, int]:
    """Remove what no version needs any more; how many of each kind, those of which there were any.

    `base` is the folder of the base that serves: it may be one that was trained here.
    """
    unfinished = store.versions.unfinished()
    working = unfinished.n if unfinished else None
    found = {
        "datasets": _datasets(state / "datasets", needed(store)),
        "checkpoints": _all(_remove, (f for n, f in _folders(state / "checkpoints") if n != working)),
        "backups": _all(_remove, (f for _, f in _newest_first(state / "backups")[backups:])),
        "trained_models": _all(_remove, _whole_models(state / WHOLE_MODELS, base, working)),
        "logs": _logs(state / "logs", logs, working),
        "left_over": _all(_remove, _left_over(state, working)),
    }
    return {kind: n for kind, n in found.items() if n}


def prune_rows(store: Store, event_days: int) -> dict[str, int]:
    """Thin the progress of finished versions, and remove old events with what was delivered of them."""
    thinned = store.database.write(_thin_progress)
    found = {"progress": thinned}
    if event_days:
        found["events"] = store.database.write(lambda c: _old_events(c, event_days))
    return {kind: n for kind, n in found.items() if n}


def _datasets(folder: Path, kept: set[int]) -> int:
    """The conversations go, the manifest stays and says what they were."""
    old = [folder for n, folder in _newest_first(folder)[LAST_VERSIONS:] if n not in kept]
    return _all(Path.unlink, (table for one in old for table in one.glob("*.parquet")))


def _whole_models(folder: Path, base: Path | None, working: int | None) -> Iterator[Path]:
    """Each is as large as a base, so few are kept: a person either sets BASE_MODEL to one or does not."""
    for n, path in _newest_first(folder)[LAST_WHOLE_MODELS:]:
        if n != working and (base is None or path.resolve() != base.resolve()):
            yield path


def _folders(parent: Path) -> Iterator[tuple[int, Path]]:
    for path in parent.glob("v*"):
        if (number := _NUMBER.fullmatch(path.name)) and path.is_dir():
            yield int(number[1]), path


def _newest_first(parent: Path) -> list[tuple[int, Path]]:
    return sorted(_folders(parent), reverse=True)


def _logs(folder: Path, keep: int, working: int | None) -> int:
    found = [(int(named[1]), path) for path in folder.glob("trainer-v*") if (named := _LOG.fullmatch(path.name))]
    kept = {*sorted({n for n, _ in found}, reverse=True)[:keep], working}
    return _all(Path.unlink, (path for n, path in found if n not in kept))


def _left_over(state: Path, working: int | None) -> Iterator[Path]:
    """What a killed process was writing; what an unfinished version writes may take as long as it will."""
    before = time.time() - LEFT_OVER_SECONDS
    for pattern in ("datasets/*.tmp-*", "adapters/*.tmp-*", "trained_models/*.tmp-*", "reports/*.tmp-*",
                    "reports/*/*.tmp-*", "backups/*.tmp-*", "cache/*/*.tmp-*", "uploads/*/*.tmp-*",
                    "uploads/*.tmp-*", "logs/*.tmp-*"):  # fmt: skip
        for path in state.glob(pattern):
            numbers = {named[1] for part in path.parts[-2:] if (named := _NUMBER.match(part))}
            if str(working) not in numbers and path.lstat().st_mtime < before:
                yield path


def _remove(path: Path) -> None:
    """A folder first out of its name, so that nobody finds half of it there."""
    if not path.is_dir():
        path.unlink()
        return
    away = path if ".tmp-" in path.name else path.rename(path.with_name(f"{path.name}.tmp-removed"))
    shutil.rmtree(away)


def _all(remove: Callable[[Path], Any], paths: Iterable[Path]) -> int:
    count = 0
    for path in list(paths):
        try:
            remove(path)
        except FileNotFoundError:
            continue  # another process was faster
        count += 1
    return count


def _thin_progress(connection: Connection) -> int:
    """Of each finished version with many points every k-th stays, with the first and the last."""
    many = (
        select(progress.c.version)
        .join(versions, versions.c.n == progress.c.version)
        .where(versions.c.in_flight.is_(None))
        .group_by(progress.c.version)
        .having(func.count() > MOST_POINTS)
    )
    return sum(_thin(connection, n) for n in connection.execute(many.limit(20)).scalars().all())


def _thin(connection: Connection, n: int) -> int:
    mine = progress.c.version == n
    ids = connection.execute(select(progress.c.id).where(mine).order_by(progress.c.id)).scalars().all()
    every = -(-len(ids) // (MOST_POINTS - 2))
    measured = select(progress.c.id).where(mine, progress.c.validation_loss.is_not(None))
    stay = {*ids[::every], ids[-1], *connection.execute(measured).scalars()}
    gone = [id for id in ids if id not in stay]
    for start in range(0, len(gone), CHUNK):
        connection.execute(delete(progress).where(progress.c.id.in_(gone[start : start + CHUNK])))
    return len(gone)


def _old_events(connection: Connection, days: int) -> int:
    """Oldest first and some at a time; what still waits to be delivered stays, and the newest of each type."""
    rank = func.row_number().over(partition_by=events.c.type, order_by=events.c.id.desc())
    ranked = select(events.c.id, events.c.timestamp, rank.label("rank")).subquery()
    waits = select(outbox.c.id).where(outbox.c.id == ranked.c.id, outbox.c.closed_at.is_(None)).exists()
    old = (ranked.c.timestamp < utc_now() - timedelta(days=days)) & (ranked.c.rank > NEWEST_EVENTS) & ~waits
    gone = connection.execute(select(ranked.c.id).where(old).order_by(ranked.c.id).limit(EVENTS_A_TURN)).scalars().all()
    for start in range(0, len(gone), CHUNK):
        these = gone[start : start + CHUNK]
        connection.execute(delete(outbox).where(outbox.c.id.in_(these)))
        connection.execute(delete(events).where(events.c.id.in_(these)))
    return len(gone)
