"""All of the state folder in one file, and back: `python -m deploy.backup backup|restore [FILE]`."""

import argparse
import os
import shutil
import sqlite3
import sys
import tarfile
import tempfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from deploy.erase_again import erase_since, remembered
from deploy.stack_record import AlreadyUp, Claim
from resources.erasure_rows import Past
from resources.preflight import EXIT_STATUS
from resources.settings import ROOT, Settings, SettingsError, read_settings
from resources.store_errors import StoreUnavailable

SQLITE_MAGIC = b"SQLite format 3\0"
MARKER = "whetstone-state"
# What can be fetched or made again, the demo's own state, notes of running processes, and what the copies of the
# databases hold already.
LEFT_OUT_NAMES = frozenset({"stack.json", "stack.lock", "huggingface", "models", "demo"})
LEFT_OUT_ENDINGS = ("-wal", "-shm", "-journal")


class BackupFailed(ValueError):
    """A backup that cannot be made or read; the message says why."""


class Restored(NamedTuple):
    """Where the former state is, and how many people were erased again; None: nobody knows who was erased since."""

    former: Path | None
    erased: int | None


def backup(settings: Settings, target: Path) -> int:
    """Writes everything under the state folder to `target`, readable by its owner alone; how many files it holds.

    It may run while the stack is up: each database is copied by SQLite itself, before the folders that its rows name.
    """
    state = settings.state_dir
    if not state.is_dir():
        raise BackupFailed(f"There is nothing to back up: {state} does not exist.")
    if target.exists():
        raise BackupFailed(f"{target} exists already: name another file.")
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f"{target.name}.tmp-{os.getpid()}")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            count = _write(file, _files(state, unfinished), state)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def restore(settings: Settings, source: Path) -> Restored:
    """Puts a backup in place of the state folder; the former state is kept beside it.

    Refused while a stack is up. Prepared models are not in a backup and stay. Who was erased since the backup was made
    is erased from it again.
    """
    state = settings.state_dir
    claim = Claim(state, "restore")
    claim.take()
    unpacked = state.with_name(f"{state.name}.restore-{os.getpid()}")
    try:
        _unpack(source, unpacked)
        past = _erasures(settings)
        former = _set_aside(state)
        for child in (unpacked / MARKER).iterdir():
            child.rename(state / child.name)
        return Restored(former, None if past is None else erase_since(settings, past))
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
        claim.release()


def _erasures(settings: Settings) -> list[Past] | None:
    """None: a store so damaged that it does not say; a backup may be all that is left."""
    try:
        return remembered(settings)
    except StoreUnavailable:
        return None


def _files(state: Path, unfinished: Path) -> list[Path]:
    """Databases first: whatever their rows name was written before them."""
    found = [path for path in sorted(state.rglob("*")) if path.is_file() and _belongs(path.relative_to(state))]
    found = [path for path in found if path != unfinished and not path.is_symlink()]
    return sorted(found, key=lambda path: not _is_sqlite(path))


def _belongs(path: Path) -> bool:
    if path.parts[0] in LEFT_OUT_NAMES or ".tmp-" in str(path):
        return False
    return not path.name.endswith(LEFT_OUT_ENDINGS)


def _write(file: object, files: list[Path], state: Path) -> int:
    count = 0
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as archive:  # type: ignore[call-overload]
        for path in files:
            name = f"{MARKER}/{path.relative_to(state)}"
            try:
                archive.add(_copied(path, Path(folder)) if _is_sqlite(path) else path, arcname=name, recursive=False)
            except FileNotFoundError:
                continue  # an old adapter that was removed meanwhile
            count += 1
    return count


def _is_sqlite(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC
    except FileNotFoundError:
        return False


def _copied(database: Path, folder: Path) -> Path:
    """A consistent copy, also while others write."""
    copy = folder / "copy.db"
    copy.unlink(missing_ok=True)
    with (
        closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=30)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
    return copy


def _unpack(source: Path, into: Path) -> None:
    """Unpacks beside the state; whatever is wrong with the file shows before anything is replaced."""
    try:
        with tarfile.open(source, "r:gz") as archive:
            archive.extractall(into, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise BackupFailed(f"{source} cannot be restored, nothing was changed: {error}") from error
    if not (into / MARKER).is_dir():
        raise BackupFailed(f"{source} is no backup of Whetstone, nothing was changed: it holds no {MARKER}.")


def _set_aside(state: Path) -> Path | None:
    former = state.with_name(f"{state.name}-before-restore-{_now()}")
    moving = [child for child in state.iterdir() if child.name not in LEFT_OUT_NAMES]
    if not moving:
        return None
    former.mkdir(mode=0o700)
    for child in moving:
        child.rename(former / child.name)
    return former


def _now() -> str:
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")


def _run(command: str, file: Path | None, settings: Settings) -> None:
    if command == "backup":
        target = (file or ROOT / "var-backups" / f"whetstone-{_now()}.tar.gz").absolute()
        count = backup(settings, target)
        print(f"{count} files of {settings.state_dir} are in {target}")
        if not settings.database_url.startswith("sqlite:"):
            print("The store is PostgreSQL and not in it: copy it with pg_dump.")
        return
    if file is None:
        raise BackupFailed("Which backup? make restore FILE=var-backups/whetstone-....tar.gz")
    restored = restore(settings, file.absolute())
    print(
        f"{settings.state_dir} is restored" + (f"; the former state is in {restored.former}" if restored.former else "")
    )
    if restored.erased is None:
        print("The former store cannot be read: erase again whoever was erased since the backup was made.")
    elif restored.erased:
        print(f"Erased again, as they were since the backup was made: {restored.erased} users.")


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; 2 with a sentence where it cannot."""
    parser = argparse.ArgumentParser(prog="python -m deploy.backup", description=__doc__)
    parser.add_argument("command", choices=["backup", "restore"])
    parser.add_argument("file", nargs="?", type=Path)
    parsed = parser.parse_args(arguments)
    try:
        _run(parsed.command, parsed.file, read_settings())
    except (SettingsError, BackupFailed, AlreadyUp) as error:
        print(error, file=sys.stderr)
        return EXIT_STATUS
    return 0


if __name__ == "__main__":
    sys.exit(main())
