"""A thousand invented values on their way through capture: what names a person by itself is left nowhere."""

import logging
from pathlib import Path

import pytest

from bench.pii_turns import Turn, canary
from core.pii import UNIQUE
from resources.capture import CaptureWriter
from resources.feedback import Feedback
from resources.store import Store
from tests.resources.examples import conversation


@pytest.fixture(scope="module")
def turns() -> list[Turn]:
    return canary(seed=11, count=1000, kinds=UNIQUE)


def values(turns: list[Turn]) -> list[str]:
    return [turn.text[label.start : label.end] for turn in turns for label in turn.labels]


def left_in(found: bytes, turns: list[Turn]) -> list[str]:
    return [value for value in values(turns) if value.encode() in found or ascii(value)[1:-1].encode() in found]


@pytest.mark.slow
def test_nothing_of_it_is_in_the_file_of_the_store_nor_in_logs_nor_events(
    turns: list[Turn], sqlite_store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    writer = CaptureWriter(sqlite_store, max_waiting=1000)
    waiting = [writer.submit(conversation(f"q{n}", turn.text)) for n, turn in enumerate(turns[:400])]
    waiting += [writer.submit(conversation(f"r{n}", reply=turn.text)) for n, turn in enumerate(turns[400:700])]
    reasons = {future.result(60).reason for future in waiting}
    for number, turn in enumerate(turns[700:]):
        said = {"comment" if number % 2 else "corrected_reply": turn.text}
        sqlite_store.conversations.feedback(Feedback(conversation_id="q0", **said))
    events = sqlite_store.events.page(limit=1000)
    writer.close()
    sqlite_store.close()

    assert reasons == {"personal_data"}
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    assert b"q399" in written
    assert left_in(written, turns) == []
    assert left_in(caplog.text.encode() + repr(events).encode(), turns) == []


def test_the_search_would_find_a_value_that_was_left(turns: list[Turn]) -> None:
    assert len(set(values(turns))) == 1000
    assert left_in(f"... {values(turns)[0]} ...".encode(), turns) != []
