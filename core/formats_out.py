"""From a conversation to a record of another tool's format, with the names of what that format cannot hold."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from core.conversation import Conversation, Message
from core.formats import ExportFormat

METADATA = ("id", "user_id", "session_id", "thread_id", "source", "provenance", "model", "complete", "created_at")
_SHAREGPT_NAMES = {"system": "system", "user": "human", "assistant": "gpt", "tool": "tool"}


class Loss(NamedTuple):
    """Something of a conversation that its record does not say."""

    name: str
    reason: str


class Exported(NamedTuple):
    """`record` is None where the format cannot hold the text itself: nothing is written rather than half of it."""

    record: dict[str, Any] | None
    lost: tuple[Loss, ...]


def export(
    format: ExportFormat, conversation: Conversation, *, liked: bool | None = None, corrected: str | None = None
) -> Exported:
    """A record that learns the reply alone; KTO needs what a person thought of it, DPO their corrected reply."""
    if format == "kto":
        return _kto(conversation, liked)
    if format == "dpo":
        return _dpo(conversation, corrected)
    return _WRITERS[format](conversation)


def _messages(conversation: Conversation) -> Exported:
    """Earlier answers carry OpenAI's weight 0: they are read and not learned."""
    turns = [_with_weight(_plain(m), m) for m in conversation.messages]
    return Exported({"messages": [*turns, _said(conversation.reply)]}, _metadata(conversation))


def _sharegpt(conversation: Conversation) -> Exported:
    turns = [_with_weight({"from": _SHAREGPT_NAMES[m.role], "value": m.content}, m) for m in conversation.messages]
    record = {"id": conversation.id, "conversations": [*turns, {"from": "gpt", "value": conversation.reply}]}
    return Exported(record, _metadata(conversation, held=("id",)))


def _alpaca(conversation: Conversation) -> Exported:
    """`system` and `history` as LLaMA-Factory has them; `input` stays empty, as the question is one text."""
    system, talk = _split_system(conversation.messages)
    lost = _not_in_alpaca(system, talk)
    if lost:
        return Exported(None, lost)
    record: dict[str, Any] = {"instruction": talk[-1].content, "input": "", "output": conversation.reply}
    if system:
        record["system"] = system[0].content
    metadata = _metadata(conversation)
    if len(talk) == 1:
        return Exported(record, metadata)
    asked, answered = talk[:-1:2], talk[1::2]
    record["history"] = [[u.content, a.content] for u, a in zip(asked, answered, strict=True)]
    learned = Loss("weight", "trainers may learn the answers of the history too: mask it there")
    return Exported(record, (learned, *metadata))


def _not_in_alpaca(system: Sequence[Message], talk: Sequence[Message]) -> tuple[Loss, ...]:
    lost = []
    if any(not message.content for message in system):
        lost.append(Loss("empty_system", "an empty system text cannot be told from none"))
    if any(message.role == "tool" for message in talk):
        lost.append(Loss("tool_messages", "the history holds pairs of instruction and output alone"))
    if [message.role for message in talk] != [("user", "assistant")[n % 2] for n in range(len(talk))] or not len(
        talk
    ) % 2:
        lost.append(Loss("order_of_turns", "instructions and outputs alternate, with one system text before them"))
    return tuple(lost)


def _prompt_completion(conversation: Conversation) -> Exported:
    return Exported({**_prompt(conversation), "completion": [_said(conversation.reply)]}, _metadata(conversation))


def _kto(conversation: Conversation, liked: bool | None) -> Exported:
    if liked is None:
        return Exported(None, (Loss("label", "nobody rated the reply"),))
    record = {**_prompt(conversation), "completion": [_said(conversation.reply)], "label": liked}
    return Exported(record, _metadata(conversation))


def _dpo(conversation: Conversation, corrected: str | None) -> Exported:
    if corrected is None or corrected == conversation.reply:
        return Exported(None, (Loss("chosen", "nobody corrected the reply"),))
    answers = {"chosen": [_said(corrected)], "rejected": [_said(conversation.reply)]}
    return Exported({**_prompt(conversation), **answers}, _metadata(conversation))


_WRITERS: dict[str, Callable[[Conversation], Exported]] = {
    "messages": _messages,
    "sharegpt": _sharegpt,
    "alpaca": _alpaca,
    "prompt_completion": _prompt_completion,
}


def _prompt(conversation: Conversation) -> dict[str, Any]:
    return {"prompt": [_plain(message) for message in conversation.messages]}


def _plain(message: Message) -> dict[str, Any]:
    return {"role": message.role, "content": message.content}


def _said(reply: str) -> dict[str, Any]:
    return {"role": "assistant", "content": reply}


def _with_weight(turn: dict[str, Any], message: Message) -> dict[str, Any]:
    return {**turn, "weight": 0} if message.role == "assistant" else turn


def _split_system(messages: Sequence[Message]) -> tuple[Sequence[Message], Sequence[Message]]:
    first = int(messages[0].role == "system")
    return messages[:first], messages[first:]


def _metadata(conversation: Conversation, held: Sequence[str] = ()) -> tuple[Loss, ...]:
    told = [name for name in METADATA if name not in held and getattr(conversation, name) is not None]
    return tuple(_NO_COLUMN[name] for name in told if name != "complete" or not conversation.complete)


_NO_COLUMN = {name: Loss(name, "the format has no column for it") for name in METADATA}
