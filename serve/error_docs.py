"""The error shape in the API page: which codes a route answers with, and why."""

from typing import Any

_REASONS = {
    400: "The body is not what its content type says",
    401: "No valid key, where `ENABLE_AUTH=true`",
    403: "The chat key where the admin key is needed, or a page of another host",
    404: "Nothing has this number or id",
    408: "The body did not come in time",
    409: "Not in the state in which it is",
    413: "Larger than allowed",
    415: "Another content type, or an encoded body",
    422: "A field, a line of the file or a rule: `param` and `code` say which, the message where",
    503: "Busy: `Retry-After` says when to come back",
    504: "Not done in time",
    507: "No room on the disk",
}
GUARDED = (401, 403)  # of every route that asks for a key
STORED = (*GUARDED, 422, 503)  # of every route that reads a query or a body and asks the store or the engine
_OF_A_BODY = (400, 408, 413, 415)
_TEXT = {"type": "string", "nullable": True}
_SHAPE: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {"message": {"type": "string"}, "type": {"type": "string"}, "param": _TEXT, "code": _TEXT},
        }
    },
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For FastAPI's `responses`."""
    return {status: _answer(status) for status in statuses}


def errors_of_a_body() -> dict[str, dict[str, Any]]:
    """For `openapi_extra`: what reading a body may end with."""
    return {str(status): _answer(status) for status in _OF_A_BODY}


def _answer(status: int) -> dict[str, Any]:
    return {"description": _REASONS[status], "content": {"application/json": {"schema": _SHAPE}}}
