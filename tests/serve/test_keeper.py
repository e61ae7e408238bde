"""What the log may say of a conversation that could not be kept."""

import asyncio

import pytest

from core.conversation import Conversation
from resources.store import StoreUnavailable
from serve.keeper import Keeper
from tests.fakes import FakeWriter
from tests.workshop import conversation

SECRET = conversation(1, reply="my password is hunter2")


def keep(error: Exception, kept: Conversation = SECRET) -> None:
    asyncio.run(Keeper(FakeWriter(error), 5).keep(kept))


def test_a_refusal_that_quotes_the_conversation_is_logged_by_its_kind(caplog: pytest.LogCaptureFixture) -> None:
    keep(RuntimeError(f"DETAIL: Failing row contains ({SECRET.reply})"))

    assert "RuntimeError" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_store_that_is_away_is_logged_with_what_it_says(caplog: pytest.LogCaptureFixture) -> None:
    keep(StoreUnavailable("Expected an answer from the database"))

    assert "Expected an answer from the database" in caplog.text
