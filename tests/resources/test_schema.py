import json
import stat
import threading
from pathlib import Path
from uuid import uuid4

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from core.live_settings import LiveSettings
from resources.database import Database
from resources.schema import alembic_config, migrate
from resources.screening import Screener, screen_version
from resources.store import SchemaTooNew, Store, open_store
from resources.tables import metadata
from tests.conftest import create_database
from tests.fakes import FakeTokenizer
from tests.workshop import conversation

LONG = "To bring back an order, put it into its box, print the label from your account page, take it to any post office"
_EARLIER = (
    "INSERT INTO versions (n, state, desired, method, base_fingerprint, fence, beat, released, attempts, settings, "
    "counts, training, created_at, started_at) VALUES (1, 'promoted', 'run', 'lora', 'base', 1, 1, true, 1, '{}', "
    "'{}', '{}', '2026-01-01 00:00:00', '2026-01-01 00:00:00')",
    "INSERT INTO conversations (seq, id, user_id, source, provenance, complete, created_at, recorded_at, hash, "
    "eligible, version, side, findings, rejected) VALUES (1, 'old', 'u1', 'chat', 'human', true, "
    "'2026-01-01 00:00:00', '2026-01-01 00:00:00', 'h', true, 1, 'held_out', '[]', false)",
    "INSERT INTO texts (seq, messages, reply) VALUES (1, :asked, :said)",
)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of the test's own: these break the schema."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'own.db'}"
    server, name = request.getfixturevalue("postgres_server"), f"t{uuid4().hex}"
    create_database(server, name)
    return f"{server}/{name}"


def _empty(store: Store) -> None:
    def drop(connection: Connection) -> None:
        metadata.drop_all(connection)
        connection.execute(text("DROP TABLE alembic_version"))

    store.database.write(drop)


def test_the_migrations_build_from_nothing_exactly_the_tables_that_are_used(store: Store) -> None:
    _empty(store)
    migrate(store.database)
    differences = store.database.read(lambda c: compare_metadata(MigrationContext.configure(c), metadata))
    assert differences == []


def test_what_the_comparison_cannot_see_is_there_as_well(store: Store) -> None:
    def look(connection: Connection) -> tuple[set[str], set[str]]:
        found = inspect(connection)
        checks = {check["name"] for name in metadata.tables for check in found.get_check_constraints(name)}
        partial = {
            str(index["name"])
            for index in found.get_indexes("conversations")
            if any(option.endswith("_where") for option in index.get("dialect_options", {}))
        }
        return {str(name) for name in checks}, partial

    checks, partial = store.database.read(look)
    assert checks >= {"only_eligible_are_claimed", "known_state", "in_flight_is_unfinished", "rating_or_thumb"}
    assert partial == {"by_masked_hash", "distinct_eligible", "duplicates", "to_review", "waiting"}


def test_what_an_earlier_release_accepted_is_found_again(store: Store) -> None:
    """Rows of the first schema, which knew nothing of clusters."""

    asked = json.dumps([message.model_dump() for message in conversation(1).messages])

    def earlier(connection: Connection) -> None:
        command.upgrade(alembic_config(connection), "0001")
        for statement in _EARLIER:
            connection.execute(text(statement), {"asked": asked, "said": LONG})

    _empty(store)
    store.database.write(earlier)
    migrate(store.database)
    near = conversation(7, user="u7", reply=f"{LONG}!").model_copy(update={"messages": conversation(1).messages})
    store.conversations.capture([near])
    claim = store.versions.claim("run")
    assert claim is not None
    screen_version(store, claim, Screener(FakeTokenizer(), 1000))
    (row,) = store.versions.rows(2)
    assert (row.side, row.rejected) == ("held_out", False), "where the one it is near to lies"


def test_opening_again_changes_nothing(store: Store, store_url: str) -> None:
    store.triggers.add("manual", True, {})
    again = open_store(store_url, live_defaults=LiveSettings())
    assert again.triggers.next() is not None
    again.close()


def test_a_newer_schema_is_refused_in_one_sentence(store: Store, store_url: str) -> None:
    store.database.write(lambda c: c.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(SchemaTooNew, match=r"^Expected .* found 9999, which a newer release wrote: [^\n]+$"):
        open_store(store_url, live_defaults=LiveSettings())


def test_many_may_start_on_an_empty_database_at_once(store: Store, store_url: str) -> None:
    _empty(store)
    together, errors = threading.Barrier(6), []

    def start() -> None:
        database = Database(store_url)
        together.wait()
        try:
            migrate(database)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the test shows it
            errors.append(error)
        database.close()

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert store.versions.next_number() == 1


def test_many_may_create_the_same_file_at_once(tmp_path: Path) -> None:
    url, together, errors = f"sqlite:///{tmp_path / 'new.db'}", threading.Barrier(6), []

    def start() -> None:
        together.wait()
        try:
            open_store(url, live_defaults=LiveSettings()).close()
        except Exception as error:  # noqa: BLE001 -- whatever it is, the test shows it
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_the_file_and_its_log_are_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "whetstone.db"
    store = open_store(f"sqlite:///{path}", live_defaults=LiveSettings())
    store.pause.set("so that there is a log")
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    store.close()
