import threading
from concurrent.futures import wait
from pathlib import Path

import pytest
from sqlalchemy import Connection, event

from core.conversation import Conversation
from resources.capture import CaptureFull, CaptureWriter, Pace
from resources.conversations import Captured, Conversations
from resources.store import Store, StoreUnavailable
from tests.resources.examples import conversation


class Slow:
    """Stands before a store's conversations and holds the first batch back until `go_on` is set."""

    def __init__(self, store: Store) -> None:
        self.batches: list[int] = []
        self.entered, self.go_on = threading.Event(), threading.Event()
        self._capture = store.conversations.capture
        store.conversations.capture = self  # type: ignore[method-assign,assignment]

    def __call__(self, batch: list[Conversation]) -> list[Captured]:
        self.batches.append(len(batch))
        self.entered.set()
        assert self.go_on.wait(10)
        return self._capture(batch)


def test_an_answer_comes_after_the_commit(store: Store) -> None:
    writer = CaptureWriter(store)
    captured = writer.submit(conversation("c")).result(10)
    assert captured == Captured("c", collected=True, duplicate_id=False, eligible=True, reason=None)
    assert store.conversations.get("c") is not None
    writer.close()


def test_what_comes_during_a_commit_shares_the_next(store: Store) -> None:
    slow = Slow(store)
    writer = CaptureWriter(store)
    first = writer.submit(conversation("first"))
    assert slow.entered.wait(10)
    rest = [writer.submit(conversation(f"c{number}")) for number in range(100)]
    slow.go_on.set()
    wait([first, *rest], timeout=10)
    assert slow.batches == [1, 100]
    assert [future.result().id for future in rest] == [f"c{number}" for number in range(100)]
    writer.close()


def test_32_threads_take_fewer_commits_than_they_capture(store: Store) -> None:
    commits: list[Connection] = []
    event.listen(store.database.engine, "commit", commits.append)
    writer, together = CaptureWriter(store), threading.Barrier(32)

    def chat(number: int) -> None:
        together.wait()
        for turn in range(8):
            assert writer.submit(conversation(f"c{number}.{turn}")).result(30).collected

    threads = [threading.Thread(target=chat, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    assert len(commits) < 32 * 8
    assert store.conversations.counts().rows == 32 * 8


def test_a_pace_is_believed_when_it_lasts_and_its_end_at_once() -> None:
    pace, now = Pace(0.0), 0.0
    assert pace.expected(0.005) < 1
    for _ in range(20):
        now += 0.004
        pace.note(2, now)
    assert pace.expected(0.005) == pytest.approx(2.5, rel=0.01)
    pace.note(1, now + 0.016)
    assert pace.expected(0.005) < 1


@pytest.mark.parametrize(("fast", "batches"), [(True, [10]), (False, [1, 9])])
def test_where_many_come_a_commit_waits_a_moment_for_the_next(
    store: Store, monkeypatch: pytest.MonkeyPatch, fast: bool, batches: list[int]
) -> None:
    monkeypatch.setattr("resources.capture._GATHERING", 0.5)
    monkeypatch.setattr(Pace, "expected", lambda *_: 10 if fast else 1)
    slow = Slow(store)
    writer = CaptureWriter(store)
    futures = [writer.submit(conversation("c0"))]
    assert fast or slow.entered.wait(10)
    futures += [writer.submit(conversation(f"c{number}")) for number in range(1, 10)]
    slow.go_on.set()
    wait(futures, timeout=10)
    assert slow.batches == batches
    writer.close()


def test_closing_writes_what_waits_and_refuses_what_comes_later(store: Store) -> None:
    slow = Slow(store)
    writer = CaptureWriter(store)
    futures = [writer.submit(conversation(f"c{number}")) for number in range(10)]
    closing = threading.Thread(target=writer.close)
    closing.start()
    slow.go_on.set()
    closing.join(10)
    assert [future.result(0).collected for future in futures] == [True] * 10
    with pytest.raises(CaptureFull, match="closed"):
        writer.submit(conversation("late"))
    writer.close()


def test_more_than_may_wait_is_refused_at_once(store: Store) -> None:
    slow = Slow(store)
    writer = CaptureWriter(store, max_waiting=3)
    taken = [writer.submit(conversation("first"))]
    assert slow.entered.wait(10)
    taken += [writer.submit(conversation(f"c{number}")) for number in range(3)]
    with pytest.raises(CaptureFull, match="3 conversations wait"):
        writer.submit(conversation("one too many"))
    slow.go_on.set()
    wait(taken, timeout=10)
    writer.close()
    assert store.conversations.counts().rows == 4


def test_who_stops_waiting_does_not_take_the_conversation_back(store: Store) -> None:
    slow = Slow(store)
    writer = CaptureWriter(store)
    future = writer.submit(conversation("c"))
    assert not future.cancel()
    slow.go_on.set()
    writer.close()
    assert store.conversations.get("c") is not None


def test_a_store_that_is_gone_is_told_to_everyone_who_waits_and_its_return_is_noticed(
    sqlite_store: Store, tmp_path: Path
) -> None:
    writer = CaptureWriter(sqlite_store)
    assert writer.submit(conversation("before")).result(10).collected
    (tmp_path / "whetstone.db").rename(tmp_path / "away.db")
    lost = [writer.submit(conversation(f"lost {number}")) for number in range(5)]
    for future in lost:
        with pytest.raises(StoreUnavailable):
            future.result(10)
    (tmp_path / "away.db").rename(tmp_path / "whetstone.db")
    assert writer.submit(conversation("after")).result(10).collected
    writer.close()
    assert sqlite_store.conversations.counts().rows == 2


def test_a_connection_that_was_lost_is_tried_once_more(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    capture = Conversations.capture

    def breaks_once(self: Conversations, batch: list[Conversation]) -> list[Captured]:
        calls.append(len(batch))
        if len(calls) == 1:
            raise StoreUnavailable("the connection was lost")
        return capture(self, batch)

    monkeypatch.setattr(Conversations, "capture", breaks_once)
    writer = CaptureWriter(store)
    assert writer.submit(conversation("c")).result(10).collected
    writer.close()
    assert calls == [1, 1]


def test_one_conversation_that_cannot_be_stored_spoils_no_other(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    capture = Conversations.capture

    def refuses_poison(self: Conversations, batch: list[Conversation]) -> list[Captured]:
        if any(one.id == "poison" for one in batch):
            raise ValueError(f"cannot store {batch[0].reply}")
        return capture(self, batch)

    monkeypatch.setattr(Conversations, "capture", refuses_poison)
    slow = Slow(store)
    writer = CaptureWriter(store)
    first = writer.submit(conversation("first"))
    assert slow.entered.wait(10)
    good, poison = writer.submit(conversation("good")), writer.submit(conversation("poison", reply="my secret"))
    slow.go_on.set()
    assert first.result(10).collected
    assert good.result(10).collected
    with pytest.raises(ValueError, match="cannot store"):
        poison.result(10)
    assert writer.submit(conversation("afterwards")).result(10).collected
    writer.close()
    assert "secret" not in caplog.text
    assert "ValueError" in caplog.text
