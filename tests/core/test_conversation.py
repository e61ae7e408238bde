from datetime import timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.conversation import Conversation, Message, conversations_of_thread
from core.domain import trusted
from tests.core.examples import NOON, conversation, talk

FIELDS = {"source": "import", "provenance": "human", "created_at": NOON}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("ab\0c", "NUL, found one at character 2"),
        ("a\ud83d", r"lone surrogate U\+D83D at character 1"),
        ("ab\ud800", r"lone surrogate U\+D800 at character 2"),
        ("\udfff", r"lone surrogate U\+DFFF at character 0"),
    ],
)
def test_text_that_no_store_can_hold_is_refused_with_its_place(text: str, sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence) as caught:
        conversation(messages=({"role": "user", "content": "fine"}, {"role": "user", "content": text}))
    assert caught.value.errors()[0]["loc"] == ("messages", 1, "content")
    with pytest.raises(ValidationError, match=sentence):
        conversation(reply=text)
    with pytest.raises(ValidationError, match=sentence):
        conversation(user_id=text)


def test_an_error_does_not_repeat_what_the_user_wrote() -> None:
    with pytest.raises(ValidationError) as caught:
        conversation(reply="my password is hunter2\0")
    assert "hunter2" not in str(caught.value)


def test_a_whole_emoji_and_korean_are_kept_as_they_are() -> None:
    assert conversation(reply="안녕 😀").reply == "안녕 😀"


@pytest.mark.parametrize(
    "change",
    [
        {"messages": ()},
        {"id": ""},
        {"id": "x" * 256},
        {"provenance": "robot"},
        {"colour": "red"},
        {"created_at": NOON.replace(tzinfo=None)},
        {"messages": ({"role": "wizard", "content": "hi"},)},
    ],
)
def test_a_conversation_is_closed(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        conversation(**change)


def test_a_conversation_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        conversation().reply = "other"  # type: ignore[misc]


def test_time_is_kept_in_utc() -> None:
    seoul = NOON.astimezone(timezone(timedelta(hours=9)))
    assert conversation(created_at=seoul).created_at.isoformat() == "2026-01-01T12:00:00+00:00"


def test_it_survives_json() -> None:
    whole = conversation(user_id="u", thread_id="t", model="v3", reply="안녕")
    assert Conversation.model_validate_json(whole.model_dump_json()) == whole


def test_the_last_user_message_is_what_the_reply_answers() -> None:
    assert conversation(messages=talk("one", "two", "three", system="be kind")).last_user == "three"
    assert conversation(messages=(Message(role="system", content="be kind"),)).last_user == ""


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8", exclude_characters="\0")), st.booleans()), min_size=1))
def test_splitting_a_thread_loses_nothing_and_trains_no_word_twice(turns: list[tuple[str, bool]]) -> None:
    thread = [Message(role="user", content="start")]
    for text, answers in turns:
        thread.append(Message(role="assistant" if answers else "user", content=text))
    thread.append(Message(role="assistant", content="end"))
    split = conversations_of_thread(thread, "t", **FIELDS)
    replies = [m.content for m in thread if m.role == "assistant"]
    assert [c.reply for c in split] == replies
    assert [c.id for c in split] == [f"t.{k}" for k in range(1, len(replies) + 1)]
    assert [*split[-1].messages, Message(role="assistant", content=split[-1].reply)] == thread
    assert {c.thread_id for c in split} == {"t"}


def test_a_thread_may_come_as_openai_messages() -> None:
    body = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    assert conversations_of_thread(body, "t", **FIELDS)[0].reply == "hello"


@pytest.mark.parametrize(
    ("roles", "sentence"),
    [
        ([], "found no messages"),
        (["user", "assistant", "user"], "found role 'user' at index 2"),
        (["assistant"], "before the assistant's at index 0 of thread t"),
    ],
)
def test_a_thread_that_is_no_thread_is_refused(roles: list[str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        conversations_of_thread([{"role": role, "content": "x"} for role in roles], "t", **FIELDS)


def test_what_is_trusted_is_what_validation_makes() -> None:
    made = conversation(messages=talk("q", "a", "q2"))
    messages = tuple(trusted(Message, message.model_dump()) for message in made.messages)
    fields = {name: getattr(made, name) for name in Conversation.model_fields}
    again = trusted(Conversation, {**fields, "messages": messages})
    assert again == made
    assert again.model_dump_json() == made.model_dump_json()
    assert again.model_copy(update={"reply": "x"}).reply == "x"
    with pytest.raises(ValidationError, match="frozen"):
        again.reply = "y"  # type: ignore[misc]
