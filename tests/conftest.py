"""Fixtures that more than one package's tests share: the store, on both databases."""

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from sqlalchemy import create_engine, inspect, text

from core.live_settings import LiveSettings
from deploy.postgres import missing, private_server
from resources.database import parse_url
from resources.store import Store, open_store
from resources.tables import metadata

LINEAGE = "base-fingerprint"

# how long an example takes says more about the machine than about the code
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


def pytest_configure() -> None:
    # what is imported stays for as long as the tests run: the collector would go through all of it again and again
    gc.disable()


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
    gc.enable()


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
    create_database(postgres_server, "shared")
    url = f"{postgres_server}/shared"
    open_store(url, live_defaults=LiveSettings()).close()
    return url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store_url(request: pytest.FixtureRequest) -> str:
    """The address of an empty, migrated store; the test runs once on each database."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    path = tmp_path / "whetstone.db"
    shutil.copy(migrated_sqlite, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(migrated_postgres: str) -> Iterator[str]:
    """One database for all tests, emptied after each: creating one takes ten times as long."""
    yield migrated_postgres
    engine = create_engine(parse_url(migrated_postgres))
    with engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
        for sequence in inspect(connection).get_sequence_names():
            connection.execute(text("SELECT setval(:sequence, 1, false)"), {"sequence": sequence})
    engine.dispose()


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A store on SQLite and on PostgreSQL."""
    store = open_store(store_url, live_defaults=LiveSettings(), lineage=LINEAGE)
    yield store
    store.close()


@pytest.fixture
def postgres_store(postgres_url: str) -> Iterator[Store]:
    """A store on PostgreSQL alone; a test that asks for it bears the marker `postgres`."""
    store = open_store(postgres_url, live_defaults=LiveSettings(), lineage=LINEAGE)
    yield store
    store.close()


@pytest.fixture
def sqlite_store(sqlite_url: str) -> Iterator[Store]:
    """A store on SQLite alone, for tests of something else."""
    store = open_store(sqlite_url, live_defaults=LiveSettings(), lineage=LINEAGE)
    yield store
    store.close()


def create_database(server: str, name: str) -> None:
    engine = create_engine(parse_url(f"{server}/postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
