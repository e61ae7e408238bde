"""From the messages of a client to those of a conversation, or an error that names the index."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from core.conversation import Message
from core.review import UNRENDERABLE
from core.rules import Finding, format_findings
from serve.errors import ApiError

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


def asked(raw: Sequence[Any], most: int) -> tuple[Message, ...]:
    """The messages of a chat: alternating, none empty, the user's last. Raises ApiError 400 with the index."""
    if not raw:
        raise _refused("messages", "expected at least one message, found an empty list")
    if len(raw) > most:
        raise _refused("messages", f"expected at most {most} messages, found {len(raw)}")
    messages = tuple(_message(item, index) for index, item in enumerate(raw))
    for finding in form_findings(messages):
        raise _refused(finding.where, finding.message)
    return messages


def form_findings(messages: Sequence[Message]) -> list[Finding]:
    """What keeps the messages before a reply from being rendered at all."""
    return [finding for finding in format_findings(messages, "a reply") if finding.rule in UNRENDERABLE]


def _message(item: Any, index: int) -> Message:
    where = f"messages[{index}]"
    if not isinstance(item, dict):
        raise _refused(where, "expected an object with role and content")
    role = item.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise _refused(f"{where}.role", f"expected one of {', '.join(_ROLES)}")
    text = _text(item.get("content"), f"{where}.content")
    try:
        return Message.model_validate({"role": _ROLES[role], "content": text})
    except ValidationError as error:
        raise _refused(f"{where}.content", error.errors()[0]["msg"].removeprefix("Value error, ")) from None


def _text(content: Any, where: str) -> str:
    """A string, or OpenAI's list of text parts put together."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise _refused(where, "expected a string or a list of text parts")
    for position, part in enumerate(content):
        if not (isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)):
            raise _refused(f"{where}[{position}]", "expected a text part: only text is understood here")
    return "".join(part["text"] for part in content)


def _refused(where: str, problem: str) -> ApiError:
    return ApiError(400, f"{where}: {problem}", param=where, code="invalid_messages")
