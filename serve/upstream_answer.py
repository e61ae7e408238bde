"""What an upstream says, checked: its head, its chunks, and its errors in our words."""

import json
import re
from typing import Any

from core.conversation import Message
from serve.engine_client import Item
from serve.errors import ApiError, api_error, busy

_TOO_LONG = re.compile(r"maximum (context|model) length", re.IGNORECASE)


def chunk_of(data: str) -> dict[str, Any]:
    chunk = json.loads(data)
    if not isinstance(chunk, dict):
        raise ValueError("a chunk that is no object")
    if "error" in chunk:
        raise _refusal(500, chunk)
    if not _are_choices(chunk.get("choices", []), "delta"):
        raise ValueError("a chunk whose choices are none")
    return chunk


def check_head(head: Item) -> dict[str, Any]:
    """The JSON behind a head; its error, if it has one, in our words."""
    if not isinstance(head, dict):
        raise ApiError(502, "Expected a head before the reply, found something else", code="engine_failed")
    if head.get("status") != 200:
        raise _refusal(int(head.get("status", 500)), head.get("json") or {})
    body = dict(head.get("json") or {})
    if body and not (body.get("choices") and _are_choices(body["choices"], "message")):
        message = "Expected choices with a message each in the reply, found something else"
        raise ApiError(502, message, code="upstream_failed")
    return body


def asked_in(head: Item) -> tuple[Message, ...] | None:
    """What an agent's reply answers; None of all others, who answer what they were sent."""
    asked = head.get("messages") if isinstance(head, dict) else None
    return None if asked is None else tuple(Message.model_validate(message) for message in asked)


def _are_choices(choices: Any, kind: str) -> bool:
    """Whether it is a list of choices whose words, where there are any, are text."""
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        return False
    said = [choice.get(kind) or {} for choice in choices]
    return all(isinstance(one, dict) and isinstance(one.get("content") or "", str) for one in said)


def _refusal(status: int, body: dict[str, Any]) -> ApiError:
    """An error of the engine: what it says of the request is passed on, what it says of itself is not."""
    found = body.get("error")
    error: dict[str, Any] = found if isinstance(found, dict) else {}
    code = error.get("code") if isinstance(error.get("code"), str) else None
    said = str(error.get("message", "")).partition("input_value")[0][:500]  # what follows would quote the request
    if 400 <= status < 500 and _TOO_LONG.search(said):
        return ApiError(status, said, param="messages", code="context_length_exceeded")
    if 400 <= status < 500:
        return ApiError(status, said or "The engine refused the request", param=error.get("param"), code=code)
    if status == 503:
        return busy(said or "The engine cannot answer now", code or "engine_unavailable", 5)
    return ApiError(500, "The engine failed on this request: its log says why", code="engine_failed")


def ended_early(error: BaseException) -> ApiError:
    if isinstance(error, StopAsyncIteration | ValueError):
        return ApiError(502, "Expected the reply to end with [DONE], found it broken off", code="broken_off")
    return api_error(error)
