"""The MLflow page over the SQLite store of the settings: `python -m deploy.mlflow_page`."""

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from resources import mlflow_store
from resources.settings import Settings, read_settings

LOCAL = "127.0.0.1"


def lay_out(database: Path) -> None:
    """The store with its tables, where there is none; others see it whole or not at all."""
    if database.exists():
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    unfinished = database.with_name(f"{database.name}.tmp-{os.getpid()}")
    mlflow_store.create(f"sqlite:///{unfinished}")
    with closing(sqlite3.connect(unfinished)) as store:
        store.execute("pragma wal_checkpoint(truncate)")
    try:
        os.link(unfinished, database)
    except FileExistsError:
        pass  # another process was quicker
    finally:
        for leftover in unfinished.parent.glob(f"{unfinished.name}*"):
            leftover.unlink()


def command(settings: Settings) -> list[str]:
    """The server; it opens the store that is there and never makes an empty one in its place."""
    uri = mlflow_store.existing_uri(settings.mlflow_tracking_uri)
    return [
        *(sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri),
        *("--host", LOCAL, "--port", str(settings.mlflow_port), "--workers", "1"),
        # One machine: runs write their files straight to the folder, the server only reads them.
        *("--no-serve-artifacts", "--default-artifact-root", (settings.state_dir / "mlartifacts").as_uri()),
    ]


def main() -> None:
    """Becomes the server."""
    settings = read_settings()
    database = mlflow_store.sqlite_path(settings.mlflow_tracking_uri)
    if database is not None:
        lay_out(database)
    arguments = command(settings)
    os.execv(arguments[0], arguments)  # noqa: S606


if __name__ == "__main__":
    main()
