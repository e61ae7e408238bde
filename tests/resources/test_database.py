import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import IntegrityError

from core.live_settings import LiveSettings
from resources.database import Database, parse_url
from resources.store import Store, StoreUnavailable, open_store
from resources.tables import settings, utc_now
from tests.resources.examples import conversation


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("sqlite:////tmp/x.db", "sqlite+pysqlite"),
        ("sqlite+aiosqlite:////tmp/x.db", "sqlite+pysqlite"),
        ("postgresql://u@h/d", "postgresql+psycopg"),
        ("postgresql+asyncpg://u@h/d", "postgresql+psycopg"),
        ("postgres://u@h/d", "postgresql+psycopg"),
    ],
)
def test_prefixes_of_other_drivers_are_understood(given: str, driver: str) -> None:
    assert parse_url(given).drivername == driver


def test_the_ssl_parameter_of_asyncpg_becomes_sslmode() -> None:
    assert dict(parse_url("postgresql+asyncpg://u@h/d?ssl=require").query) == {"sslmode": "require"}


@pytest.mark.parametrize("url", ["mysql://u:secret@h/d", "sqlite://", "sqlite:///:memory:"])
def test_a_database_that_cannot_be_the_store_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="Expected sqlite:///path or postgresql://") as refused:
        parse_url(url)
    assert "secret" not in str(refused.value)


def test_sqlite_is_durable_and_checks_its_references(sqlite_store: Store) -> None:
    def pragma(name: str) -> object:
        return sqlite_store.database.read(lambda c: c.execute(text(f"PRAGMA {name}")).scalar_one())

    assert pragma("journal_mode") == "wal"
    assert pragma("synchronous") == 2
    assert pragma("foreign_keys") == 1
    assert pragma("busy_timeout") == 30_000


def test_sqlites_log_is_carried_over_beside_the_writers_and_not_by_them(sqlite_store: Store) -> None:
    database = sqlite_store.database
    assert database.path

    row = {"key": "k", "value": "carried over " * 500_000, "changed_at": utc_now(), "changed_by": "test"}
    database.write(lambda c: c.execute(insert(settings).values(row)))
    assert b"carried over" not in database.path.read_bytes()
    database.shorten_log()
    assert b"carried over" in database.path.read_bytes()


def _setting(connection: Connection, key: str) -> None:
    connection.execute(insert(settings).values(key=key, value=1, changed_at=utc_now(), changed_by="test"))


def _keys(store: Store) -> list[str]:
    return store.database.read(lambda c: list(c.execute(select(settings.c.key).order_by(settings.c.key)).scalars()))


def test_an_error_rolls_the_whole_transaction_back(store: Store) -> None:
    def work(connection: Connection) -> None:
        _setting(connection, "a")
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        store.database.write(work)
    assert _keys(store) == []


def test_a_savepoint_rolls_back_alone(store: Store) -> None:
    def b_and_a_again(connection: Connection) -> None:
        with connection.begin_nested():
            _setting(connection, "b")
            _setting(connection, "a")

    def work(connection: Connection) -> None:
        _setting(connection, "a")
        with pytest.raises(IntegrityError):
            b_and_a_again(connection)
        _setting(connection, "c")

    store.database.write(work)
    assert _keys(store) == ["a", "c"]


def test_an_error_of_the_database_repeats_no_parameters(store: Store) -> None:
    def work(connection: Connection) -> None:
        for _ in range(2):
            _setting(connection, "what a person said")

    with pytest.raises(IntegrityError) as refused:
        store.database.write(work)
    assert "[SQL parameters hidden" in str(refused.value)


def test_writers_of_state_take_turns_over_connections_of_their_own(store: Store, store_url: str) -> None:
    other = Database(store_url)
    first_is_in, order = threading.Event(), []

    def slow(connection: Connection) -> None:
        first_is_in.set()
        second.join(timeout=0.3)
        order.append("first")

    def quick() -> None:
        first_is_in.wait()
        other.write(lambda c: order.append("second"))

    second = threading.Thread(target=quick)
    second.start()
    store.database.write(slow)
    second.join()
    other.close()
    assert order == ["first", "second"]


def test_a_moved_file_is_an_outage_and_is_never_replaced_by_an_empty_one(sqlite_store: Store, tmp_path: Path) -> None:
    path = tmp_path / "whetstone.db"
    sqlite_store.conversations.capture([conversation("before")])
    path.rename(tmp_path / "away.db")
    with pytest.raises(StoreUnavailable):
        sqlite_store.conversations.capture([conversation("while it is away")])
    with pytest.raises(StoreUnavailable):
        sqlite_store.conversations.counts()
    assert not path.exists()

    (tmp_path / "away.db").rename(path)
    sqlite_store.conversations.capture([conversation("after")])
    assert {item.conversation.id for item in sqlite_store.conversations.page().items} == {"before", "after"}


def test_a_file_that_is_moved_during_a_write_is_not_acknowledged(sqlite_store: Store, tmp_path: Path) -> None:
    def work(connection: Connection) -> None:
        _setting(connection, "a")
        (tmp_path / "whetstone.db").rename(tmp_path / "away.db")

    with pytest.raises(StoreUnavailable, match="moved or replaced"):
        sqlite_store.database.write(work)


def test_a_file_put_in_the_place_of_another_is_the_one_that_is_read(
    sqlite_store: Store, tmp_path: Path, migrated_sqlite: Path
) -> None:
    sqlite_store.conversations.capture([conversation("in the old file")])
    restored = open_store(f"sqlite:///{tmp_path / 'restored.db'}", live_defaults=LiveSettings())
    restored.conversations.capture([conversation("in the restored file")])
    restored.close()
    for name in ("whetstone.db-wal", "whetstone.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "restored.db").rename(tmp_path / "whetstone.db")
    assert [item.conversation.id for item in sqlite_store.conversations.page().items] == ["in the restored file"]


def test_a_file_that_is_no_database_is_an_outage(tmp_path: Path) -> None:
    path = tmp_path / "whetstone.db"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreUnavailable, match="not a database"):
        open_store(f"sqlite:///{path}", live_defaults=LiveSettings())


def test_a_lock_that_is_never_given_back_is_an_outage(sqlite_url: str, tmp_path: Path) -> None:
    store = open_store(sqlite_url, live_defaults=LiveSettings(), busy_seconds=0.05)
    with sqlite3.connect(tmp_path / "whetstone.db", isolation_level=None) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            store.conversations.capture([conversation()])
        holder.execute("ROLLBACK")
    holder.close()
    assert store.conversations.capture([conversation()])[0].collected
    store.close()


@pytest.mark.postgres
def test_a_server_that_does_not_answer_is_an_outage_told_without_the_password() -> None:
    with pytest.raises(StoreUnavailable) as refused:
        open_store("postgresql://whetstone:secret@127.0.0.1:1/none", live_defaults=LiveSettings())
    assert "secret" not in str(refused.value)


def test_the_size_of_the_store_is_known(store: Store) -> None:
    assert store.size_bytes() > 10_000
