"""Whose the threads are that the agent remembers: so that they are bounded, grow old, and go with their person.

The threads themselves are LangGraph's checkpoints in the same SQLite file, under the same key.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from resources.erasure_rows import Pending

Result = TypeVar("Result")

FILE_NAME = "agent_memory.db"
_BUSY_SECONDS = 10.0

# a number is never used twice, so that a thread that was forgotten and began anew is told from itself
_TABLE = """
CREATE TABLE IF NOT EXISTS threads (
  number INTEGER PRIMARY KEY AUTOINCREMENT, thread_id TEXT NOT NULL UNIQUE, user_id TEXT NOT NULL,
  began_at REAL NOT NULL, used_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS threads_of_user ON threads (user_id);
CREATE INDEX IF NOT EXISTS threads_by_use ON threads (used_at);
"""
_OF_LANGGRAPH = ("checkpoints", "writes")


class AgentMemory:
    """Every method is one transaction, blocks, and raises sqlite3.Error where the file does not answer.

    Only `begin` makes the file; the others find nothing where there is none.
    """

    def __init__(self, path: Path, most_threads: int = 100_000) -> None:
        self.path, self._most = path, most_threads

    def begin(self, thread: str, user_id: str) -> int:
        """A turn of this thread begins; its number. The threads least lately used make room for a new one."""
        now = time.time()
        row = (thread, user_id, now, now)
        with self._transaction() as file:
            file.execute(
                "INSERT INTO threads (thread_id, user_id, began_at, used_at) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (thread_id) DO UPDATE SET used_at = excluded.used_at", row
            )  # fmt: skip
            ((number, began_at),) = file.execute(
                "SELECT number, began_at FROM threads WHERE thread_id = ?", (thread,)
            ).fetchall()
            over = file.execute("SELECT count(*) FROM threads").fetchone()[0] - self._most if began_at == now else 0
            if over > 0:
                _forget(file, "number IN (SELECT number FROM threads ORDER BY used_at LIMIT ?)", over)
        return int(number)

    def settle(self, thread: str, number: int) -> bool:
        """The turn has ended; False where the thread was forgotten meanwhile, and what the turn wrote is deleted."""
        return self._where_there_is_one(lambda file: _settle(file, thread, number), False)

    def forget_user(self, user_id: str, before: datetime | None = None) -> int:
        """Delete the threads of a person, or those that began before a moment; how many."""
        began_before = before.timestamp() if before else float("inf")
        return self._forget("user_id = ? AND began_at < ?", user_id, began_before)

    def forget_old(self, days: int) -> int:
        """Delete what nobody used for that many days, 0 nothing; how many threads."""
        return self._forget("used_at < ?", time.time() - days * 86_400) if days else 0

    def users(self) -> set[str]:
        """Everybody of whom a thread is remembered."""
        found = "SELECT DISTINCT user_id FROM threads"
        rows: list[tuple[str]] = self._where_there_is_one(lambda file: file.execute(found).fetchall(), [])
        return {user for (user,) in rows}

    def _forget(self, which: str, *values: object) -> int:
        forgotten = self._where_there_is_one(lambda file: _forget(file, which, *values), 0)
        if forgotten:
            self._truncate_log()
        return forgotten

    def _where_there_is_one(self, work: Callable[[sqlite3.Connection], Result], otherwise: Result) -> Result:
        if not self.path.exists():
            return otherwise
        with self._transaction() as file:
            return work(file)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with closing(self._open()) as file:
            file.executescript(_TABLE)
            file.execute("BEGIN IMMEDIATE")
            with file:
                yield file

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        file = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
        file.execute("PRAGMA journal_mode=WAL")
        file.execute("PRAGMA secure_delete=ON")
        return file

    def _truncate_log(self) -> None:
        with closing(self._open()) as file:
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


class AgentThreads:
    """What the agent remembers of people, as a place that an erasure reaches."""

    name = "agent"

    def __init__(self, memory: AgentMemory) -> None:
        self._memory = memory

    def erase(self, who: Pending) -> int:
        return self._memory.forget_user(who.user_id, who.asked_at)

    def users(self) -> set[str]:
        return self._memory.users()


def _settle(file: sqlite3.Connection, thread: str, number: int) -> bool:
    known = file.execute("SELECT number FROM threads WHERE thread_id = ?", (thread,)).fetchone()
    if known is None:
        _delete_orphans(file)
    return known is not None and known[0] == number


def _forget(file: sqlite3.Connection, which: str, *values: object) -> int:
    gone = file.execute(f"DELETE FROM threads WHERE {which}", values).rowcount  # noqa: S608 -- conditions of this module
    _delete_orphans(file)  # also of a turn whose process ended between its last word and its settling
    return gone


def _delete_orphans(file: sqlite3.Connection) -> None:
    """Whatever LangGraph keeps of threads that are nobody's."""
    there = {row[0] for row in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for table in there.intersection(_OF_LANGGRAPH):
        file.execute(f"DELETE FROM {table} WHERE thread_id NOT IN (SELECT thread_id FROM threads)")  # noqa: S608 -- two names
