"""From a record of any known format to conversations; nothing is guessed, what does not fit is refused."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from core.conversation import Conversation, Message, is_too_long
from core.formats import OWN_COLUMNS, Columns, ImportFormat, RecordRefused, list_column

_OPENAI_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
_SHAREGPT_ROLES = {"system": "system", "human": "user", "gpt": "assistant", "tool": "tool"}
THREAD_TOO_LONG = "expected a thread whose replies, each with all before it, can be held, found it too long: cut it"
_UNHELD = ("tool_calls", "function_call", "audio")
_FALSE = (False, "false", "False", "FALSE", "0")


class _Thread(NamedTuple):
    """Turns in order, and the indices of those that a model is to learn."""

    turns: list[Message]
    replies: list[int]


def to_conversations(
    format: ImportFormat,
    record: Mapping[str, Any],
    columns: Columns = OWN_COLUMNS,
    *,
    id: str | None = None,
    **fields: Any,
) -> list[Conversation]:
    """One conversation for each reply to be learned. Raises RecordRefused.

    `id` names the conversation, with a number behind it where the record holds several; without it the record's own
    id counts. `fields` are those of Conversation that the file does not hold: source, provenance, created_at, ...
    """
    thread = _READERS[format](record, columns)
    if not thread.replies:
        raise RecordRefused("nothing_to_learn", "record", "expected an assistant message to learn, found none")
    if thread.replies[0] == 0:
        raise RecordRefused("reply_to_nothing", "record", "expected a message before the first reply, found none")
    if is_too_long(thread.turns, thread.replies):
        raise RecordRefused("thread_too_long", "record", THREAD_TOO_LONG)
    own = _identifiers(record, columns)
    name = id or own.pop("id", None)
    if name is None:
        raise RecordRefused("missing_id", columns.id, "expected an id, found none")
    own.pop("id", None)
    if len(thread.replies) > 1:
        own.setdefault("thread_id", name)
    names = [name] if len(thread.replies) == 1 else [f"{name}.{n}" for n in range(1, len(thread.replies) + 1)]
    return [
        _conversation(thread.turns, index, {"id": name, **own, **fields})
        for name, index in zip(names, thread.replies, strict=True)
    ]


def _conversation(turns: Sequence[Message], reply: int, fields: Mapping[str, Any]) -> Conversation:
    try:
        return Conversation(messages=tuple(turns[:reply]), reply=turns[reply].content, **fields)
    except ValidationError as error:
        raise _invalid(error, "record") from None


def _messages(record: Mapping[str, Any], columns: Columns) -> _Thread:
    """OpenAI messages: an assistant's weight 0 is context; with a `reply` beside them, that alone is learned."""
    column = list_column(record, columns)
    thread = _turns(record, column, columns.role or "role", columns.content or "content", _OPENAI_ROLES, columns)
    reply = record.get(columns.reply)
    if reply is None:
        return _ends_with_reply(thread, column)
    turns = [*thread.turns, _message("assistant", reply, columns.reply)]
    return _Thread(turns, [len(turns) - 1])


def _sharegpt(record: Mapping[str, Any], columns: Columns) -> _Thread:
    column = columns.messages or "conversations"
    thread = _turns(record, column, columns.role or "from", columns.content or "value", _SHAREGPT_ROLES, columns)
    return _ends_with_reply(thread, column)


def _alpaca(record: Mapping[str, Any], columns: Columns) -> _Thread:
    """The history is context: its answers are not learned again."""
    turns = _system(record, columns)
    for index, pair in enumerate(_list(record.get(columns.history) or [], columns.history)):
        where = f"{columns.history}[{index}]"
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise RecordRefused("not_a_pair", where, "expected a pair of instruction and output")
        turns += [_message("user", pair[0], f"{where}[0]"), _message("assistant", pair[1], f"{where}[1]")]
    instruction = _text(record.get(columns.instruction), columns.instruction)
    given = record.get(columns.input)
    asked = "\n".join(part for part in (instruction, _text(given, columns.input) if given else "") if part)
    output = _message("assistant", record.get(columns.output), columns.output)
    turns += [_message("user", asked, columns.instruction), output]
    return _Thread(turns, [len(turns) - 1])


def _prompt_completion(record: Mapping[str, Any], columns: Columns) -> _Thread:
    """Text or conversational; only the completion is learned, and none that carries the label of a bad one."""
    label = record.get(columns.label)
    if isinstance(label, bool | str) and label in _FALSE:
        raise RecordRefused("undesirable", columns.label, "expected a completion to learn, found one labelled false")
    prompt, completion = record.get(columns.prompt), record.get(columns.completion)
    turns = _system(record, columns)
    if not isinstance(prompt, list) and not isinstance(completion, list):
        said = [_message("user", prompt, columns.prompt), _message("assistant", completion, columns.completion)]
        return _Thread([*turns, *said], [len(turns) + 1])
    role, content = columns.role or "role", columns.content or "content"
    before = _turns(record, columns.prompt, role, content, _OPENAI_ROLES, columns)
    after = _turns(record, columns.completion, role, content, _OPENAI_ROLES, None)
    at = len(before.turns)
    return _ends_with_reply(
        _Thread([*before.turns, *after.turns], [at + index for index in after.replies]), columns.completion
    )


_READERS: dict[ImportFormat, Callable[[Mapping[str, Any], Columns], _Thread]] = {
    "messages": _messages,
    "sharegpt": _sharegpt,
    "alpaca": _alpaca,
    "prompt_completion": _prompt_completion,
}


def _turns(
    record: Mapping[str, Any], column: str, role: str, content: str, roles: Mapping[str, str], columns: Columns | None
) -> _Thread:
    turns = _system(record, columns) if columns else []
    replies = []
    for index, item in enumerate(_list(record.get(column), column)):
        where = f"{column}[{index}]"
        if not isinstance(item, Mapping):
            raise RecordRefused("not_an_object", where, f"expected an object with {role} and {content}")
        turn = _turn(item, where, role, content, roles)
        if turn.role == "assistant" and _learned(item, where):
            replies.append(len(turns))
        turns.append(turn)
    return _Thread(turns, replies)


def _turn(item: Mapping[str, Any], where: str, role: str, content: str, roles: Mapping[str, str]) -> Message:
    said_by = item.get(role)
    if not isinstance(said_by, str) or said_by not in roles:
        raise RecordRefused("unknown_role", f"{where}.{role}", f"expected one of {', '.join(roles)}")
    for key in _UNHELD:
        if item.get(key):
            raise RecordRefused(key, f"{where}.{key}", "expected text alone: calls and sound are not trained on")
    return _message(roles[said_by], item.get(content), f"{where}.{content}")


def _learned(item: Mapping[str, Any], where: str) -> bool:
    weight = item.get("weight")
    if weight is not None and weight not in (0, 1):
        raise RecordRefused("weight", f"{where}.weight", "expected 0 or 1")
    return weight is None or bool(weight)


def _ends_with_reply(thread: _Thread, where: str) -> _Thread:
    if not thread.turns or thread.turns[-1].role != "assistant":
        found = f"role {thread.turns[-1].role}" if thread.turns else "no message"
        raise RecordRefused("thread_without_reply", where, f"expected an assistant message last, found {found}")
    return thread


def _system(record: Mapping[str, Any], columns: Columns) -> list[Message]:
    system = record.get(columns.system)
    return [_message("system", system, columns.system)] if system else []


def _message(role: str, content: Any, where: str) -> Message:
    try:
        return Message.model_validate({"role": role, "content": _text(content, where)})
    except ValidationError as error:
        raise _invalid(error, where) from None


def _text(content: Any, where: str) -> str:
    """A string, or OpenAI's list of text parts put together."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise RecordRefused("not_text", where, f"expected text, found {_kind(content)}")
    for index, part in enumerate(content):
        if not (isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str)):
            raise RecordRefused("not_text", f"{where}[{index}]", "expected a text part: only text is trained on")
    return "".join(part["text"] for part in content)


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise RecordRefused("not_a_list", where, f"expected a list, found {_kind(value)}")
    return value


def _identifiers(record: Mapping[str, Any], columns: Columns) -> dict[str, str]:
    named = ((name, record.get(getattr(columns, name))) for name in ("id", "user_id", "session_id", "thread_id"))
    return {name: str(value) for name, value in named if _is_identifier(value)}


def _is_identifier(value: Any) -> bool:
    if isinstance(value, int) and not isinstance(value, bool):
        return -(2**63) <= value < 2**63
    return isinstance(value, str) and value != ""


def _invalid(error: ValidationError, where: str) -> RecordRefused:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return RecordRefused("invalid_value", where, f"{place}: {first['msg'].removeprefix('Value error, ')}")


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a value of type {type(value).__name__}"
