"""Fixtures that more than one package's tests share: the store, on both databases."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text

from core.live_settings import LiveSettings
from deploy.postgres import missing, private_server
from resources.database import parse_url
from resources.store import Store, open_store

LINEAGE = "base-fingerprint"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    problem = missing()
    if problem and not os.environ.get("CI"):
        pytest.skip(problem)
    with private_server() as address:
        yield address


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "whetstone.db"
    open_store(f"sqlite:///{path}", live_defaults=LiveSettings()).close()
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: str) -> str:
    admin(postgres_server, "CREATE DATABASE migrated")
    open_store(f"{postgres_server}/migrated", live_defaults=LiveSettings()).close()
    return "migrated"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of an empty, migrated store; the test runs once on each database."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_url")
        return
    server, template = request.getfixturevalue("postgres_server"), request.getfixturevalue("migrated_postgres")
    name = f"t{uuid4().hex}"
    admin(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield f"{server}/{name}"
    admin(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    path = tmp_path / "whetstone.db"
    shutil.copy(migrated_sqlite, path)
    return f"sqlite:///{path}"


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A store on SQLite and on PostgreSQL."""
    store = open_store(store_url, live_defaults=LiveSettings(), lineage=LINEAGE)
    yield store
    store.close()


@pytest.fixture
def sqlite_store(sqlite_url: str) -> Iterator[Store]:
    """A store on SQLite alone, for tests of something else."""
    store = open_store(sqlite_url, live_defaults=LiveSettings(), lineage=LINEAGE)
    yield store
    store.close()


def admin(server: str, statement: str) -> None:
    """Run what PostgreSQL does outside transactions only."""
    engine = create_engine(parse_url(f"{server}/postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
