"""One shape for every error and one table from exception to answer."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from resources.errors import NotFound, StoreUnavailable
from serve.champion_follower import UnknownModel
from serve.engine_client import AdapterNotServed, EngineBusy, EngineUnavailable

log = logging.getLogger(__name__)

_SHOWN_PROBLEMS = 5
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


def busy(status: int, message: str, code: str, seconds: int = 1) -> ApiError:
    """Over a bound, or something is away: the client is told when to try again."""
    return ApiError(status, message, code=code, headers={"retry-after": str(seconds)})


def invalid(error: ValidationError, status: int = 422) -> ApiError:
    """Every problem of a body at once; of the values found only their types and numbers are told."""
    problems = error.errors(include_url=False, include_context=False)
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
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}, found {_found(problem.get('input'))}"


def _found(value: object) -> str:
    if value is None or isinstance(value, bool | int | float):
        return repr(value)[:40]
    kinds = {str: f"a string of {len(value)} characters" if isinstance(value, str) else "", list: "a list"}
    return kinds.get(type(value), "an object")


def _path(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")[:200]


def _from_http(error: HTTPException) -> ApiError:
    known = {404: "route_not_found", 405: "method_not_allowed"}
    phrase = HTTPStatus(error.status_code).phrase
    allowed = (error.headers or {}).get("Allow") or (error.headers or {}).get("allow")
    hint = f": expected one of {allowed}" if allowed else ": see /docs for every route"
    return ApiError(
        error.status_code, phrase + hint, code=known.get(error.status_code, "http_error"), headers=error.headers
    )


ANSWERS: Mapping[type[BaseException], Callable[[Any], ApiError]] = {
    ApiError: lambda error: error,
    HTTPException: _from_http,
    ValidationError: invalid,
    UnknownModel: lambda error: ApiError(404, str(error), param="model", code="model_not_found"),
    NotFound: lambda error: ApiError(404, str(error), code="not_found"),
    AdapterNotServed: lambda error: busy(503, str(error), "adapter_not_served", 5),
    EngineBusy: lambda _: busy(429, "Expected a free place at the engine, found its queue full", "engine_busy"),
    EngineUnavailable: lambda _: busy(503, "Expected the engine to answer, found it away; it restarts by itself",
                                      "engine_unavailable", 5),
    StoreUnavailable: lambda _: busy(503, "Expected the store to answer, found it away", "store_unavailable", 2),
    TimeoutError: lambda _: busy(504, "Expected an answer in time, found none; nothing was stored", "timeout"),
    asyncio.QueueFull: lambda _: busy(429, "Expected room in the queue, found none", "queue_full"),
}  # fmt: skip


def api_error(error: BaseException) -> ApiError:
    """The answer to any exception; one that the table lacks is logged and tells the client nothing."""
    for kind in type(error).__mro__:
        if kind in ANSWERS:
            return ANSWERS[kind](error)
    log.error("unexpected %s at the HTTP edge", type(error).__name__, exc_info=error)
    return ApiError(500, "Something failed inside; the log of the ingress says what", code="internal_error")


async def answer(_: Request, error: Exception) -> JSONResponse:
    """Starlette's exception handler for every kind in the table."""
    return api_error(error).response()
