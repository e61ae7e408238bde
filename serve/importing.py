"""From the body of an import to conversations: each item is taken, or rejected with its rule."""

import hashlib
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from core.conversation import Conversation, Message, conversations_of_thread, is_too_long
from core.formats import TEXT_COLUMNS, ImportFormat, RecordRefused, detect_format
from core.formats_in import THREAD_TOO_LONG, to_conversations
from serve.bodies import parse_json
from serve.errors import ApiError, invalid
from serve.messages import form_findings
from serve.schema import ImportedConversation, ImportedFields

CHUNK = 500


@dataclass(frozen=True)
class Import:
    """What a body holds; `derived` are ids that we made from its Idempotency-Key, so that a repeat finds them again."""

    conversations: list[Conversation]
    rejected: list[dict[str, Any]]
    derived: frozenset[str]


@dataclass
class Tally:
    accepted: int = 0
    duplicates: int = 0
    rejected: list[dict[str, Any]] = field(default_factory=list)

    def answer(self) -> dict[str, Any]:
        return {"accepted": self.accepted, "duplicates": self.duplicates, "rejected": self.rejected}


def read(body: bytes, most: int, key: str | None) -> Import:
    """A JSON list or one object a line. Raises ApiError when it is neither; a bad item spoils only itself."""
    items = _items(body)
    if not items:
        raise ApiError(422, "the body: expected at least one conversation, found none", code="invalid_value")
    if len(items) > most:
        raise _too_many(most, len(items))
    prefix = f"import-{hashlib.sha256(key.encode()).hexdigest()[:24]}" if key else f"import-{uuid.uuid4().hex}"
    found: list[Conversation] = []
    rejected: list[dict[str, Any]] = []
    for index, item in enumerate(items):
        try:
            found += _conversations(item, f"{prefix}-{index}")
        except ApiError as error:
            rejected.append({"index": index, "rule": error.code, "reason": error.message})
        if len(found) > most:  # an item may be a thread of many
            raise _too_many(most, len(found))
    derived = frozenset(c.id for c in found if c.id.startswith(f"{prefix}-")) if key else frozenset()
    return Import(found, rejected, derived)


def _items(body: bytes) -> list[Any]:
    if body.lstrip()[:1] == b"[":
        items: list[Any] = parse_json(body)
        return items
    lines = ((number, line) for number, line in enumerate(body.split(b"\n"), start=1) if line.strip())
    return [parse_json(line, f"line {number}", expected="a JSON object", line=number) for number, line in lines]


def _conversations(item: Any, made_id: str) -> list[Conversation]:
    """One item as one conversation, or a thread as one for each reply. Raises ApiError with the rule as its code."""
    format = detect_format(item) if isinstance(item, dict) and "messages" not in item else None
    try:
        made = _of_messages(item, made_id) if format is None else _of_format(format, item, made_id)
    except ValidationError as error:
        raise _rejected("invalid_value", invalid(error.errors(include_url=False)).message) from None
    except RecordRefused as refused:
        raise _rejected(refused.rule, str(refused)) from None
    except ValueError as error:
        raise _rejected("thread_without_reply", str(error)) from None
    for conversation in made:
        for finding in form_findings(conversation.messages):
            raise _rejected(finding.rule, f"{finding.where}: {finding.message}")
        if not conversation.reply.strip():
            raise _rejected("empty_reply", "reply: expected text")
    return made


def _of_format(format: ImportFormat, item: dict[str, Any], made_id: str) -> list[Conversation]:
    """The text in another tool's format, beside it our own fields and no others."""
    text = {name: value for name, value in item.items() if name in TEXT_COLUMNS[format]}
    given = ImportedFields.model_validate({name: value for name, value in item.items() if name not in text})
    fields = _fields(given) | ({"thread_id": given.thread_id} if given.thread_id else {})
    return to_conversations(format, text, id=given.id or made_id, **fields)


def _fields(given: ImportedFields) -> dict[str, Any]:
    return {
        "user_id": given.user_id,
        "session_id": given.session_id,
        "source": given.source,
        "provenance": given.provenance,
        "created_at": given.created_at or datetime.now(UTC),
    }


def _of_messages(item: Any, made_id: str) -> list[Conversation]:
    given = ImportedConversation.model_validate(item)
    messages = tuple(Message.model_validate(message) for message in given.messages)
    id, fields = given.id or made_id, _fields(given)
    if given.reply is not None:
        return [Conversation(id=id, messages=messages, reply=given.reply, thread_id=given.thread_id, **fields)]
    if is_too_long(messages, [index for index, message in enumerate(messages) if message.role == "assistant"]):
        raise RecordRefused("thread_too_long", "messages", THREAD_TOO_LONG)
    thread = conversations_of_thread(messages, id, **fields)
    return [turn.model_copy(update={"thread_id": given.thread_id or id}) for turn in thread]


def _too_many(most: int, found: int) -> ApiError:
    return ApiError(413, f"Expected at most {most} conversations, found {found}", code="too_many_conversations")


def _rejected(rule: str, reason: str) -> ApiError:
    return ApiError(422, reason, code=rule)
