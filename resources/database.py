"""Transactions on SQLite and PostgreSQL that behave the same, and say so when they cannot happen."""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from resources.knocking import knock, take_changed
from resources.store_errors import StoreUnavailable

Result = TypeVar("Result")

WRITE = "whetstone_write"
LOCK_KEY = 0x77686574
CONFLICTS = {"40001", "40P01"}  # PostgreSQL: serialization failure, deadlock
MAX_CONFLICTS = 5
_LOG_PAGES = 8_000  # 32 MiB; SQLite's 1,000 would make every 150th conversation wait for its log to be carried over
POSTGRES = {"postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg", "postgresql+psycopg2"}
SQLITE = {"sqlite", "sqlite+aiosqlite", "sqlite+pysqlite"}


def parse_url(url: str) -> URL:
    """The address with the driver used here; prefixes of asynchronous drivers are understood."""
    parsed = make_url(url)
    if parsed.drivername in POSTGRES:
        query = {("sslmode" if key == "ssl" else key): value for key, value in parsed.query.items()}
        return parsed.set(drivername="postgresql+psycopg", query=query)
    if parsed.drivername in SQLITE and parsed.database and parsed.database != ":memory:":
        return parsed.set(drivername="sqlite+pysqlite")
    raise ValueError(
        f"Expected sqlite:///path or postgresql://host/name as the database, found "
        f"{parsed.render_as_string(hide_password=True)!r}"
    )


class Database:
    """`read` and `write` run a function in one transaction; writers of state take turns on both databases."""

    def __init__(self, url: str, *, busy_seconds: float = 30.0) -> None:
        self.url = parse_url(url)
        self.busy_seconds = busy_seconds
        self.path = Path(str(self.url.database)) if self.url.get_backend_name() == "sqlite" else None
        self._turn = threading.Lock()
        self.engine = self._sqlite(self.path) if self.path else self._postgres()
        self._writer = self.engine.execution_options(**{WRITE: True})

    @property
    def is_sqlite(self) -> bool:
        return self.path is not None

    def read(self, work: Callable[[Connection], Result]) -> Result:
        """Run `work` in a transaction that sees one state of the store."""
        with self._saying_unavailable(), self.engine.begin() as connection:
            return work(connection)

    def write(self, work: Callable[[Connection], Result], *, in_turn: bool = True) -> Result:
        """Run `work` in a transaction that is on disk when this returns.

        `in_turn` keeps all other such writers out until then. On PostgreSQL, conflicts with writers that are not in
        turn run `work` again, so that it must touch nothing but its connection.
        """
        with self._saying_unavailable():
            for attempt in range(1, MAX_CONFLICTS + 1):
                try:
                    return self._sqlite_write(work) if self.path else self._postgres_write(work, in_turn)
                except OperationalError as error:
                    if getattr(error.orig, "sqlstate", None) not in CONFLICTS or attempt == MAX_CONFLICTS:
                        raise
        raise AssertionError("unreachable")

    def shorten_log(self) -> None:
        """Carry SQLite's log over into its file, as far as nobody needs it, while writers go on."""
        if self.path:
            self._checkpoint("PASSIVE")

    def forget_deleted(self) -> None:
        """Take deleted text out of SQLite's log too, as far as no reader still needs it."""
        if self.path:
            self._checkpoint("TRUNCATE")

    def size_bytes(self) -> int:
        """What the database takes on disk."""
        if self.path:
            parts = [self.path, *(self.path.with_name(self.path.name + end) for end in ("-wal", "-shm"))]
            return sum(part.stat().st_size for part in parts if part.exists())
        size = text("SELECT pg_database_size(current_database())")
        return int(self.read(lambda connection: connection.execute(size).scalar_one()))

    def close(self) -> None:
        self.engine.dispose()

    def _checkpoint(self, how: str) -> None:
        with self._saying_unavailable(), self.engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)  # noqa: S101 -- the engine was built with it
            driver.execute(f"PRAGMA wal_checkpoint({how})").fetchall()

    def _postgres_write(self, work: Callable[[Connection], Result], in_turn: bool) -> Result:
        with self._writer.connect() as connection:
            with connection.begin():
                if in_turn:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
                result = work(connection)
            self._tell(connection)
        return result

    def _sqlite_write(self, work: Callable[[Connection], Result]) -> Result:
        # threads of this process queue here: SQLite's own waiting sleeps up to 100 ms at a time
        if not self._turn.acquire(timeout=self.busy_seconds):
            raise StoreUnavailable(f"{self._where()} was locked for {self.busy_seconds:.0f} s by this process")
        try:
            with self._writer.connect() as connection:
                with connection.begin():
                    result = work(connection)
                self._check_still_there(connection.info["inode"])
                self._tell(connection)
            return result
        finally:
            self._turn.release()

    def _tell(self, connection: Connection) -> None:
        if take_changed(connection):
            knock(self.url)

    def _sqlite(self, path: Path) -> Engine:
        def connect() -> sqlite3.Connection:
            # mode=rw: a file that was moved away must be an error, never a new empty store
            address = f"file:{quote(str(path.absolute()))}?mode=rw"
            return sqlite3.connect(address, uri=True, timeout=self.busy_seconds, check_same_thread=False)

        engine = create_engine(
            "sqlite+pysqlite://", creator=connect, poolclass=QueuePool, pool_size=8, max_overflow=24, **_OPTIONS
        )

        @event.listens_for(engine, "connect")
        def prepare(connection: sqlite3.Connection, record: Any) -> None:
            connection.isolation_level = None
            record.info["inode"] = _inode(path)
            _use_wal(connection, self.busy_seconds)
            for pragma in (
                "synchronous=FULL",
                "foreign_keys=ON",
                "secure_delete=ON",
                f"wal_autocheckpoint={_LOG_PAGES}",
            ):
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "checkout")
        def same_file(connection: sqlite3.Connection, record: Any, proxy: Any) -> None:
            if record.info["inode"] != _inode(path):
                raise DisconnectionError(f"{path} is another file by now")

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            write = connection.get_execution_options().get(WRITE, False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

        return engine

    def _postgres(self) -> Engine:
        waits = int(self.busy_seconds * 1000)
        options = f"-c lock_timeout={waits} -c idle_in_transaction_session_timeout={2 * waits} -c synchronous_commit=on"
        # a server whose machine vanished says nothing, and the kernel would wait for it for a quarter of an hour
        alive = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 15_000}
        arguments = {"connect_timeout": 5, "application_name": "whetstone", "options": options, **alive}
        return create_engine(
            self.url, connect_args=arguments, pool_pre_ping=True, pool_size=8, max_overflow=24, **_OPTIONS
        )

    def _check_still_there(self, inode: tuple[int, int] | None) -> None:
        if self.path and inode != _inode(self.path):
            raise StoreUnavailable(f"{self._where()} was moved or replaced while it was written to: put it back")

    def _where(self) -> str:
        return self.url.render_as_string(hide_password=True)

    @contextmanager
    def _saying_unavailable(self) -> Iterator[None]:
        try:
            yield
        except (DisconnectionError, PoolTimeout) as error:
            raise StoreUnavailable(f"Expected an answer from {self._where()}, found: {error}") from error
        except DBAPIError as error:
            if not _is_outage(error):
                raise
            found = str(error.orig).strip().splitlines() or [type(error.orig).__name__]
            raise StoreUnavailable(f"Expected an answer from {self._where()}, found: {found[0]}") from error


# one encoder for all: to make one costs more than most values
to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode

_OPTIONS: dict[str, Any] = {
    # parameters are people's words: they belong in no error message and no log
    "hide_parameters": True,
    "json_serializer": to_json,
    "json_deserializer": json.loads,
}


def _is_outage(error: DBAPIError) -> bool:
    corrupt = type(error.orig) is sqlite3.DatabaseError
    return corrupt or error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _use_wal(connection: sqlite3.Connection, seconds: float) -> None:
    """Several processes may do this to a new file at once, and SQLite does not wait for that lock by itself."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if connection.execute("PRAGMA journal_mode=WAL").fetchone()[0] == "wal":
                return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
        if time.monotonic() > deadline:
            raise sqlite3.OperationalError("the write-ahead log could not be switched on: is this a network disk?")
        time.sleep(0.01)
