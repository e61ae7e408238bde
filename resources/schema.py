"""Brings a database to the schema of this release, or refuses a newer one."""

import os
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from resources.database import Database
from resources.store_errors import SchemaTooNew, StoreUnavailable

MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(database: Database) -> None:
    """Create or upgrade the schema; safe when several processes start at once."""
    if database.path:
        _create_private_file(database.path)
    if database.read(_revision) == _head():
        return
    database.write(_upgrade)


def alembic_config(connection: Connection | None = None) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _upgrade(connection: Connection) -> None:
    config = alembic_config(connection)
    found = _revision(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise SchemaTooNew(
            f"Expected a store of schema {_head()} or older, found {found}, which a newer release wrote: "
            "start that release, or restore a backup made before it"
        )
    command.upgrade(config, "head")


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


@cache
def _head() -> str | None:
    """Of this release: to ask for it is to run every migration, two thirds of what opening a store takes."""
    return ScriptDirectory.from_config(alembic_config()).get_current_head()


def _create_private_file(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreUnavailable(
            f"Expected to open {path}, found: {error.strerror}: check the folder's rights"
        ) from error
