"""How the questions asked all the time are answered: from an index, not by reading every conversation."""

from typing import Any

import pytest
from sqlalchemy import Select, event, func, select, text, update

from resources.conversation_rows import waits
from resources.conversations import counts_query, page_query
from resources.store import Store
from resources.tables import conversations, events
from tests.resources.examples import claimed, conclude, conversation

COLUMNS = conversations.c


def number_of(*filters: Any) -> Select[Any]:
    return select(func.count()).select_from(conversations).where(*filters)


SQLITE_PLANS = [
    (number_of(waits()), "USING COVERING INDEX waiting"),
    (counts_query(), "USING COVERING INDEX standing"),
    (number_of(), "USING COVERING INDEX"),
    (number_of(COLUMNS.user_id == "u"), "USING COVERING INDEX by_user"),
    (page_query([COLUMNS.user_id == "u"], 1, 50), "USING COVERING INDEX by_user"),
    (page_query([COLUMNS.session_id == "s"], 1, 50), "USING COVERING INDEX by_session"),
    (page_query([COLUMNS.source == "chat"], 900, 50), "USING COVERING INDEX by_source"),
    (page_query([COLUMNS.eligible], 900, 50), "USING COVERING INDEX by_eligible"),
    (page_query([COLUMNS.version == 3], 1, 50), "USING COVERING INDEX by_version"),
    (page_query([], 900, 50), "SEARCH texts USING INTEGER PRIMARY KEY"),
    (update(conversations).where(waits()).values(version=1), "INDEX waiting"),
    (select(events).where(events.c.id > 5).order_by(events.c.id).limit(50), "USING INTEGER PRIMARY KEY"),
    (select(events).where(events.c.type == "x").order_by(events.c.id.desc()).limit(50), "events_by_type"),
]


def plan(store: Store, query: Any) -> str:
    """What the database says it will do, on one line."""

    def explain(connection: Any) -> str:
        sql = query.compile(connection, compile_kwargs={"literal_binds": True})
        rows = connection.execute(text(f"EXPLAIN {'QUERY PLAN ' if store.database.is_sqlite else ''}{sql}")).all()
        return " | ".join(str(row[-1]).strip() for row in rows)

    return store.database.read(explain)


@pytest.mark.parametrize(("query", "index"), SQLITE_PLANS)
def test_sqlite_answers_from_an_index(sqlite_store: Store, query: Any, index: str) -> None:
    assert index in plan(sqlite_store, query)


def much(store: Store, number: int) -> None:
    """Some versions, many users, and as many own replies as human ones."""
    for start in range(0, number, 1000):
        store.conversations.capture(
            [
                conversation(
                    f"c{i}",
                    user_id=f"u{i % 300}",
                    session_id=f"s{i % 5000}",
                    source="import" if i % 3 else "chat",
                    provenance="human" if i % 2 else "self",
                    reply=f"reply {i} " + "lorem ipsum " * 40,
                )
                for i in range(start, start + 1000)
            ]
        )
        if start % 5000 == 0:
            conclude(store, claimed(store, f"claimed {start}"))


@pytest.mark.slow
@pytest.mark.postgres
def test_postgres_answers_from_an_index_when_there_is_much(postgres_store: Store) -> None:
    much(postgres_store, 20_000)
    postgres_store.database.write(lambda c: c.execute(text("ANALYZE conversations")))
    assert "waiting" in plan(postgres_store, number_of(waits()))
    assert "by_user" in plan(postgres_store, page_query([COLUMNS.user_id == "u7"], 1, 50))
    assert "by_session" in plan(postgres_store, page_query([COLUMNS.session_id == "s7"], 1, 50))
    assert "texts_pkey" in plan(postgres_store, page_query([], 1, 50))


@pytest.mark.slow
def test_the_questions_asked_all_the_time_read_no_text(store: Store) -> None:
    much(store, 3_000)
    asked: list[str] = []
    event.listen(store.database.engine, "before_cursor_execute", lambda *a: asked.append(a[2]))
    store.conversations.counts()
    store.conversations.waiting()
    store.conversations.users()
    store.versions.unfinished()
    store.versions.performance()
    assert len(asked) >= 5
    assert not any("texts" in statement for statement in asked)


def test_a_page_takes_two_questions_whatever_its_size(store: Store) -> None:
    much(store, 1_000)
    asked: list[str] = []
    event.listen(store.database.engine, "before_cursor_execute", lambda *a: asked.append(a[2]))
    assert len(store.conversations.page(2, 200).items) == 200
    assert len([statement for statement in asked if statement.startswith("SELECT")]) == 2
