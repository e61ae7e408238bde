"""What the log may say of a conversation that could not be kept."""

import asyncio
from concurrent.futures import Future

import pytest

from core.conversation import Conversation
from resources.conversations import Captured
from resources.store import StoreUnavailable
from serve import keeper
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


@pytest.mark.parametrize(("fails", "tries"), [(0, 1), (2, 3), (9, 4)])
def test_what_nobody_waits_for_is_handed_over_until_the_store_is_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fails: int, tries: int
) -> None:
    monkeypatch.setattr(keeper, "PAUSES", (0.0, 0.0, 0.0))
    writer = BackLater(fails)

    async def left() -> None:
        kept = Keeper(writer, 5)
        kept.keep_later(SECRET)
        assert writer.submitted == [SECRET], "at a stop there is no later"
        for _ in range(100):
            await asyncio.sleep(0)
        assert kept.later == 0

    asyncio.run(left())
    assert writer.submitted == [SECRET] * tries
    assert ("was not stored" in caplog.text) is (fails >= tries)


class BackLater(FakeWriter):
    """A store that is away for so many tries."""

    def __init__(self, fails: int) -> None:
        super().__init__()
        self.fails = fails

    def submit(self, conversation: Conversation) -> Future[Captured]:
        answer = super().submit(conversation)
        if len(self.submitted) <= self.fails:
            answer.set_exception(StoreUnavailable("away"))
        else:
            answer.set_result(Captured(conversation.id, collected=True, duplicate_id=False, eligible=True, reason=None))
        return answer
