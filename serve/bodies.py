"""From bytes to a checked body: bounded while read, strict JSON, closed models."""

import asyncio
import json
import re
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from serve.errors import ApiError, invalid

Model = TypeVar("Model", bound=BaseModel)

MAX_DEPTH = 32
_MOST_DIGITS = 1000  # far beyond every field, and below what Python refuses in words of its own
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


async def read_bytes(request: Request, limit: int, seconds: float = 60.0) -> bytes:
    """The whole body, given up at the first byte over the limit, whatever Content-Length says."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise ApiError(415, "Expected a body without Content-Encoding, found an encoded one", code="encoded_body")
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > limit:
        raise _too_large(limit)
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise _too_large(limit)
    except TimeoutError:
        raise ApiError(408, f"Expected the body within {seconds:g} s, found it unfinished", code="slow_body") from None
    return bytes(body)


def _too_large(limit: int) -> ApiError:
    return ApiError(413, f"Expected a body of at most {limit} bytes, found a larger one", code="body_too_large")


def parse_json(data: bytes, where: str = "the body", *, expected: str = "JSON", line: int = 0) -> Any:
    """Strict JSON: UTF-8, no NaN or Infinity, no key twice, no lone surrogate, at most 32 levels; from line `line`."""
    try:
        value = json.loads(
            data.decode("utf-8-sig"),
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_whole,
            object_pairs_hook=_no_key_twice,
        )
    except RecursionError:
        raise _too_deep(where) from None
    except json.JSONDecodeError as error:
        found = f"{error.msg} at line {line or error.lineno} column {error.colno}"
        raise ApiError(400, f"Expected {expected} in {where}, found {found}", code="invalid_json") from None
    except UnicodeDecodeError as error:
        found = f"an invalid byte at {error.start}"
        raise ApiError(400, f"Expected UTF-8 in {where}, found {found}", code="invalid_json") from None
    except ValueError as error:
        raise ApiError(400, f"Expected {expected} in {where}, found {error}", code="invalid_json") from None
    _check_depth(value, data, where)
    if _ESCAPED_SURROGATE.search(data):
        _check_surrogates(value, where)
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name}, which is not a JSON number")


def _whole(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("a number too large for a double")
    return number


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("the same key twice in one object")
    return found


def _check_depth(value: Any, data: bytes, where: str) -> None:
    if data.count(b"{") + data.count(b"[") <= MAX_DEPTH:
        return
    level, depth = [value], 0
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        if depth > MAX_DEPTH:
            raise _too_deep(where)
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)]


def _too_deep(where: str) -> ApiError:
    return ApiError(400, f"Expected at most {MAX_DEPTH} levels of nesting in {where}, found more", code="too_deep")


def _check_surrogates(value: Any, where: str) -> None:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str) and any("\ud800" <= character <= "\udfff" for character in item):
            message = f"Expected whole Unicode characters in {where}, found a lone surrogate: send both halves"
            raise ApiError(400, message, code="lone_surrogate")
        if isinstance(item, dict):
            waiting += [*item, *item.values()]
        elif isinstance(item, list):
            waiting += item


def validated(model: type[Model], value: Any, status: int = 422) -> Model:
    """The body as its closed model, or every problem it has at once."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise invalid(error.errors(include_url=False), status) from None


async def body_as(model: type[Model], request: Request, limit: int, status: int = 422) -> Model:
    """Read, parse and check a JSON body; an empty one counts as `{}`."""
    return validated(model, parse_json(await read_bytes(request, limit) or b"{}"), status)


def idempotency_key(request: Request) -> str | None:
    """The header by which a client repeats a request without repeating its effect."""
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= 255:
        raise ApiError(422, "Idempotency-Key: expected 1 to 255 characters", param="Idempotency-Key")
    return key


def documented(model: type[BaseModel]) -> dict[str, Any]:
    """What FastAPI's `openapi_extra` needs to show a body that we read ourselves."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": _inlined(schema)}}}}


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    definitions = schema.pop("$defs", {})

    def resolve(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                return resolve(definitions[node["$ref"].rsplit("/", 1)[-1]])
            return {key: resolve(value) for key, value in node.items()}
        return [resolve(value) for value in node] if isinstance(node, list) else node

    resolved: dict[str, Any] = resolve(schema)
    return resolved
