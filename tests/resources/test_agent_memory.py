"""Whose the agent's threads are: bounded, old ones go, and a person's go with them."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from resources.agent_memory import AgentMemory, AgentThreads
from resources.erasure_rows import Pending


@pytest.fixture
def memory(tmp_path: Path) -> AgentMemory:
    return AgentMemory(tmp_path / "agent_memory.db", most_threads=3)


def remember(memory: AgentMemory, thread: str, text: str = "words") -> None:
    """As LangGraph would."""
    with closing(sqlite3.connect(memory.path)) as file, file:
        for table in ("checkpoints", "writes"):
            file.execute(f"CREATE TABLE IF NOT EXISTS {table} (thread_id TEXT, checkpoint BLOB)")
            file.execute(f"INSERT INTO {table} VALUES (?, ?)", (thread, text))  # noqa: S608


def remembered(memory: AgentMemory) -> dict[str, list[str]]:
    with closing(sqlite3.connect(memory.path)) as file:
        return {
            table: sorted(row[0] for row in file.execute(f"SELECT thread_id FROM {table}"))  # noqa: S608
            for table in ("threads", "checkpoints", "writes")
        }


def pending(user_id: str, asked_at: datetime) -> Pending:
    return Pending(1, user_id, frozenset(), frozenset(), asked_at, last=False)


def test_an_erasure_takes_a_persons_threads_and_no_others_and_leaves_no_trace_in_the_file(memory: AgentMemory) -> None:
    for user in ("ann", "bea"):
        number = memory.begin(f"{user}/1", user)
        remember(memory, f"{user}/1", f"secret of {user} " * 50)
        assert memory.settle(f"{user}/1", number)
    place = AgentThreads(memory)
    assert place.users() == {"ann", "bea"}

    assert place.erase(pending("ann", datetime.now(UTC))) == 1
    assert place.erase(pending("ann", datetime.now(UTC))) == 0
    assert remembered(memory) == {name: ["bea/1"] for name in ("threads", "checkpoints", "writes")}
    for path in memory.path.parent.iterdir():
        assert b"secret of ann" not in path.read_bytes()


def test_what_is_said_after_an_erasure_stays(memory: AgentMemory) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    memory.begin("ann/1", "ann")

    assert AgentThreads(memory).erase(pending("ann", before)) == 0
    assert memory.users() == {"ann"}


def test_a_turn_that_ends_after_its_person_was_erased_leaves_nothing_behind(memory: AgentMemory) -> None:
    number = memory.begin("ann/1", "ann")
    memory.forget_user("ann")
    remember(memory, "ann/1")

    assert not memory.settle("ann/1", number)
    assert remembered(memory) == {"threads": [], "checkpoints": [], "writes": []}


def test_what_a_killed_turn_left_of_an_erased_person_goes_with_the_next_sweep(memory: AgentMemory) -> None:
    memory.begin("ann/1", "ann")
    memory.forget_user("ann")
    remember(memory, "ann/1")

    assert AgentThreads(memory).erase(pending("ann", datetime.now(UTC))) == 0
    assert remembered(memory)["checkpoints"] == []


def test_a_thread_that_began_anew_is_not_the_one_that_was_forgotten(memory: AgentMemory) -> None:
    first = memory.begin("ann/1", "ann")
    memory.forget_user("ann")
    second = memory.begin("ann/1", "ann")
    remember(memory, "ann/1")

    assert not memory.settle("ann/1", first)
    assert memory.settle("ann/1", second)
    assert remembered(memory)["checkpoints"] == ["ann/1"]


def test_the_threads_least_lately_used_make_room(memory: AgentMemory) -> None:
    for name in ("a", "b", "c"):
        memory.begin(name, "ann")
        remember(memory, name)
    memory.begin("a", "ann")
    memory.begin("d", "ann")

    assert remembered(memory)["threads"] == ["a", "c", "d"]
    assert remembered(memory)["checkpoints"] == ["a", "c"]


def test_what_nobody_used_for_days_is_forgotten(memory: AgentMemory) -> None:
    for name in ("old", "new"):
        memory.begin(name, "ann")
        remember(memory, name)
    with closing(sqlite3.connect(memory.path)) as file, file:
        file.execute("UPDATE threads SET used_at = used_at - 8 * 86400 WHERE thread_id = 'old'")

    assert (memory.forget_old(0), memory.forget_old(7), memory.forget_old(7)) == (0, 1, 0)
    assert remembered(memory)["checkpoints"] == ["new"]


def test_without_a_file_nothing_is_found_and_none_is_made(memory: AgentMemory) -> None:
    assert (memory.forget_user("ann"), memory.forget_old(1), memory.users()) == (0, 0, set())
    assert not memory.settle("ann/1", 1)
    assert not memory.path.exists()
    memory.begin("ann/1", "ann")
    assert memory.path.stat().st_mode & 0o077 == 0
