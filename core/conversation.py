"""The unit of everything: one reply with the messages before it."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, Literal

from pydantic import Field

from core.domain import Domain, Identifier, Text, UtcTime

Role = Literal["system", "user", "assistant", "tool"]
Provenance = Literal["human", "teacher", "self", "self_edited"]


MOST_IN_THREAD = 64_000_000  # characters that the conversations of one thread repeat of each other
_OF_A_MESSAGE = 16  # characters that a message weighs beside its text


class Message(Domain):
    role: Role
    content: Text


class Conversation(Domain):
    """One reply with the messages before it; whether they make sense is for `core.rules` to find."""

    id: Identifier
    messages: tuple[Message, ...] = Field(min_length=1)
    reply: Text
    user_id: Identifier | None = None
    session_id: Identifier | None = None
    thread_id: Identifier | None = None
    source: Identifier
    provenance: Provenance
    model: Identifier | None = None
    complete: bool = True
    created_at: UtcTime

    @property
    def last_user(self) -> str:
        """The text the reply answers: the last message of the user, or nothing."""
        return next((m.content for m in reversed(self.messages) if m.role == "user"), "")


def is_too_long(turns: Sequence[Message], replies: Sequence[int]) -> bool:
    """Whether a thread, in which each reply repeats all before it, would come to more than MOST_IN_THREAD."""
    before = [0, *accumulate(_OF_A_MESSAGE + len(turn.content) for turn in turns)]
    return sum(before[reply] for reply in replies) > MOST_IN_THREAD


def conversations_of_thread(
    messages: Sequence[Message | Mapping[str, Any]], thread_id: str, **fields: Any
) -> list[Conversation]:
    """Split a thread with k assistant turns into k conversations `thread_id.1` to `thread_id.k`."""
    turns = [m if isinstance(m, Message) else Message.model_validate(dict(m)) for m in messages]
    if not turns or turns[-1].role != "assistant":
        found = f"role {turns[-1].role!r} at index {len(turns) - 1}" if turns else "no messages"
        raise ValueError(f"Expected thread {thread_id} to end with an assistant message, found {found}")
    if turns[0].role == "assistant":
        raise ValueError(f"Expected a user message before the assistant's at index 0 of thread {thread_id}")
    replies = [index for index, turn in enumerate(turns) if turn.role == "assistant"]
    return [
        Conversation(
            id=f"{thread_id}.{number}",
            thread_id=thread_id,
            messages=tuple(turns[:index]),
            reply=turns[index].content,
            **fields,
        )
        for number, index in enumerate(replies, start=1)
    ]
