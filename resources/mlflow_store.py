"""How to reach MLflow: never a new file by accident, never a wait of minutes, no telemetry."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote, urlsplit
from urllib.request import urlopen
from uuid import uuid4

from resources.folders import sync

_SQLITE, _VARIABLE = "sqlite:///", "MLFLOW_TRACKING_URI"
# MLflow's own defaults send usage data, and try a dead server for minutes.
_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


class MlflowUnavailable(RuntimeError):
    """MLflow does not answer, or its file is gone."""


def sqlite_path(tracking_uri: str) -> Path | None:
    """The file behind a `sqlite:///` address, None for a server."""
    return Path(tracking_uri.removeprefix(_SQLITE)) if tracking_uri.startswith(_SQLITE) else None


def shown(tracking_uri: str) -> str:
    """The address without user and password."""
    parts = urlsplit(tracking_uri)
    _, at, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=host).geturl() if at else tracking_uri


def available(tracking_uri: str) -> bool:
    """Whether MLflow can be asked now; creates nothing."""
    path = sqlite_path(tracking_uri)
    if path is not None:
        return path.is_file() and path.stat().st_size > 0
    try:
        with urlopen(f"{tracking_uri.rstrip('/')}/health", timeout=2) as answer:  # noqa: S310 - settings allow http(s) alone
            return bool(answer.status == 200)
    except (URLError, OSError, ValueError):
        return False


def existing_uri(tracking_uri: str) -> str:
    """An address that opens a SQLite file only where it exists, and anew after it was replaced."""
    path = sqlite_path(tracking_uri)
    if path is None:
        return tracking_uri
    # SQLite ignores a parameter it does not know; MLflow keeps one engine an address, so another file gets another
    # quoted twice: SQLAlchemy and SQLite each undo it once
    return f"{_SQLITE}file:{quote(quote(str(path)))}?mode=rw&uri=true&inode={path.stat().st_ino}"


def create(tracking_uri: str) -> None:
    """Make the SQLite file with its tables where there is none: others see it whole or not at all.

    Of tables that are half made MLflow makes no whole ones: whoever was killed there would have ended it for good.
    """
    path = sqlite_path(tracking_uri)
    if path is None or available(tracking_uri):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # never the same twice: MLflow remembers which addresses have their tables
    unfinished = path.with_name(f"{path.name}.tmp-{uuid4().hex}")
    whole = unfinished.with_name(f"{unfinished.name}-whole")
    try:
        with translated(tracking_uri):
            _client(f"{_SQLITE}{unfinished}").search_experiments(max_results=1)
        with closing(sqlite3.connect(unfinished)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")  # in which readers do not wait for writers
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copyfile(unfinished, whole)  # MLflow keeps the other one open
        sync(whole)
        _show(whole, path)
    finally:
        for leftover in path.parent.glob(f"{unfinished.name}*"):
            leftover.unlink()


def _show(whole: Path, path: Path) -> None:
    if path.is_file() and path.stat().st_size == 0:
        path.unlink()
    with suppress(FileExistsError):  # another process was quicker
        os.link(whole, path)
    sync(path.parent)


def client(tracking_uri: str) -> Any:
    """An MlflowClient on a store that is there; MlflowUnavailable otherwise. Also makes it the process's own store."""
    if not available(tracking_uri):
        raise MlflowUnavailable(f"MLflow does not answer at {shown(tracking_uri)}: start it, or put its file back")
    _make_own(existing_uri(tracking_uri))
    return _client(existing_uri(tracking_uri))


def _make_own(uri: str) -> None:
    """For this process alone: MLflow would write it into the environment, where our settings have the same name."""
    named = os.environ.get(_VARIABLE)
    import_mlflow().set_tracking_uri(uri)
    if named is None:
        os.environ.pop(_VARIABLE, None)
    else:
        os.environ[_VARIABLE] = named


def import_mlflow() -> Any:
    """MLflow, with the variables set that it reads while it is imported."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    import mlflow

    return mlflow


@contextmanager
def translated(tracking_uri: str) -> Iterator[None]:
    """Turn whatever MLflow raises into MlflowUnavailable with one sentence."""
    import_mlflow()
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        where = shown(tracking_uri)
        said = first_line.replace(tracking_uri.rstrip("/"), where.rstrip("/"))  # MLflow names the address it asked
        raise MlflowUnavailable(f"MLflow at {where} refused: {said}") from error


def _client(uri: str) -> Any:
    import_mlflow()
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)
