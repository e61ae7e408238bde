"""One shape for every error and one table from exception to answer."""

import json
import logging
import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Match

from resources.store_errors import CaptureFull, HeldBack, NotAllowed, NotFound, StoreUnavailable
from resources.upload_files import DiskFull
from serve.champion_follower import UnknownModel
from serve.engine_client import AdapterNotServed, EngineBusy, EngineUnavailable

log = logging.getLogger(__name__)

_SHOWN_PROBLEMS = 5
_SHAPES = {
    "model_type": "an object",
    "model_attributes_type": "an object",
    "dict_type": "an object",
    "list_type": "a list",
    "string_type": "a text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
}
_SHOULD = re.compile(r"(\w+) should (be|have|match|contain) (.*)", re.DOTALL)
_PATTERNS = {
    r"^[\w-]+$": "letters, digits, - and _ without spaces",
    r"^[\w-]{1,50}$": "1 to 50 letters, digits, - and _ without spaces",
    r"^[A-Za-z0-9._-]{1,64}$": "1 to 64 Latin letters, digits, ., - and _",
    r"^[a-z0-9_]{1,64}$": "the name of a rule: 1 to 64 small Latin letters, digits and _",
    r"^-?\d{1,9}$": "a whole number of at most 9 digits",
}
_SUBJECTS = {"String": "a text", "List": "a list", "Dictionary": "an object"}
_VERBS = {"have": "of", "match": "that matches", "contain": "that contains"}
_OF_NAMES = ("literal_error", "enum")  # what stands there is a name, never a message's text
_DATABASES = frozenset({"sqlalchemy", "psycopg", "sqlite3"})
_KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """An answer in the OpenAI error shape. The message says expected, found and where, and quotes no prompt."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        kind = _KINDS.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        return JSONResponse(self.body(), self.status, self.headers)


def busy(message: str, code: str, seconds: int = 1) -> ApiError:
    """Over a bound, or something is away: the client is told when to try again."""
    return ApiError(503, message, code=code, headers={"retry-after": str(seconds)})


def invalid(problems: Sequence[Mapping[str, Any]], status: int = 422) -> ApiError:
    """Every problem pydantic found, at once; of the values found only types and numbers are told."""
    shown = "; ".join(_sentence(problem) for problem in problems[:_SHOWN_PROBLEMS])
    more = len(problems) - _SHOWN_PROBLEMS
    param = _path(problems[0]["loc"]) or None
    return ApiError(status, shown + (f"; and {more} more" if more > 0 else ""), param=param, code="invalid_value")


def _sentence(problem: Mapping[str, Any]) -> str:
    where = _path(problem["loc"]) or "the body"
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown field, remove it"
    if problem["type"] == "missing":
        return f"{where}: expected a value, found none"
    message = _expected(problem)
    whole = problem["type"] == "value_error" and not problem["loc"]
    return message if whole else f"{where}: {message}{_found(problem)}"


def _expected(problem: Mapping[str, Any]) -> str:
    """Our words for pydantic's, which would name its classes and ours."""
    if problem["type"] in _SHAPES:
        return f"expected {_SHAPES[problem['type']]}"
    said = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "too_short" and isinstance(problem.get("input"), str):
        return f"expected a text of at least {problem['ctx']['min_length']} character"
    if problem["type"] == "string_pattern_mismatch" and problem["ctx"]["pattern"] in _PATTERNS:
        return f"expected {_PATTERNS[problem['ctx']['pattern']]}"
    found = _SHOULD.match(said)
    if not found:
        return said
    subject, verb, rest = found.groups()
    return f"expected {rest}" if verb == "be" else f"expected {_SUBJECTS.get(subject, 'a value')} {_VERBS[verb]} {rest}"


def _found(problem: Mapping[str, Any]) -> str:
    value = problem.get("input")
    if problem["type"] == "value_error":
        return ""
    if value is None or isinstance(value, bool):
        return f", found {json.dumps(value)}"
    if isinstance(value, int | float):
        return f", found {value!r}"[:60]
    if isinstance(value, str) and (problem["loc"][:1] in (("query",), ("path",)) or problem["type"] in _OF_NAMES):
        return f", found {value[:40]!r}" + ("…" if len(value) > 40 else "")
    if isinstance(value, str):
        return f", found a string of {len(value)} characters"
    return f", found {'a list' if isinstance(value, list) else 'an object'}"


def _path(location: Sequence[int | str]) -> str:
    if location[:1] in (("query",), ("path",), ("header",)):
        location = location[1:]
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.removeprefix(".")[:200]


def _from_http(error: HTTPException) -> ApiError:
    headers = dict(error.headers or {})
    codes = {404: "route_not_found", 405: "method_not_allowed"}
    allowed = next((value for name, value in headers.items() if name.lower() == "allow"), None)
    expected = f"expected {allowed}" if allowed else "see /docs for every route"
    message = f"{HTTPStatus(error.status_code).phrase}: {expected}"
    return ApiError(error.status_code, message, code=codes.get(error.status_code, "http_error"), headers=headers)


ANSWERS: Mapping[type[BaseException], Callable[[Any], ApiError]] = {
    ApiError: lambda error: error,
    HTTPException: _from_http,
    RequestValidationError: lambda error: invalid(error.errors()),
    ValidationError: lambda error: invalid(error.errors(include_url=False)),
    ClientDisconnect: lambda _: ApiError(400, "Expected the whole body, found the connection closed"),
    UnknownModel: lambda error: ApiError(404, str(error), param="model", code="model_not_found"),
    NotFound: lambda error: ApiError(404, str(error), code="not_found"),
    HeldBack: lambda error: ApiError(422, str(error), code=error.rule),
    NotAllowed: lambda error: ApiError(409, str(error), code="not_allowed"),
    AdapterNotServed: lambda error: busy(str(error), "adapter_not_served", 5),
    EngineBusy: lambda _: busy("Expected a free place at the engine, found its queue full", "engine_busy"),
    EngineUnavailable: lambda _: busy("Expected the engine to answer, found it (re)starting", "engine_unavailable", 5),
    StoreUnavailable: lambda _: busy("Expected the store to answer, found it away", "store_unavailable", 2),
    CaptureFull: lambda _: busy("Expected room for another conversation, found the queue full", "capture_full"),
    DiskFull: lambda _: ApiError(
        507, "Expected room on the disk, found none: delete datasets you no longer need", code="disk_full"
    ),
    TimeoutError: lambda _: ApiError(504, "Expected an answer in time, found none", code="timeout"),
}


def api_error(error: BaseException) -> ApiError:
    """The answer to any exception; one that the table lacks is logged, and the client is told nothing of it."""
    for kind in type(error).__mro__:
        if kind in ANSWERS:
            return ANSWERS[kind](error)
    name = type(error).__name__
    if _may_quote(error):
        where = "".join(traceback.format_tb(error.__traceback__))
        log.error("unexpected %s at the HTTP edge; its text may repeat a conversation and is left out\n%s", name, where)
    else:
        log.error("unexpected %s at the HTTP edge", name, exc_info=error)
    return ApiError(500, "Something failed inside: the log of the ingress says what", code="internal_error")


def _may_quote(error: BaseException | None) -> bool:
    """Whether a database speaks anywhere in the chain: it repeats the row that it refuses."""
    while error is not None:
        if type(error).__module__.partition(".")[0] in _DATABASES:
            return True
        error = error.__cause__ or error.__context__
    return False


async def answer(request: Request, error: Exception) -> JSONResponse:
    """The handler for the errors that Starlette and FastAPI raise themselves."""
    if isinstance(error, HTTPException) and error.status_code == 405:
        error = HTTPException(405, headers={"Allow": ", ".join(_methods(request))})
    return api_error(error).response()


def _methods(request: Request) -> list[str]:
    """All that the path has: Starlette names those of its first route only."""
    matching = [route for route in request.app.router.routes if route.matches(request.scope)[0] is not Match.NONE]
    found = {method for route in matching for method in getattr(route, "methods", None) or ()}
    return sorted(found | ({"HEAD"} if "GET" in found else set()))
