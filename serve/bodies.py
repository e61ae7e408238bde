"""From bytes to a checked body: bounded while read, strict JSON, closed models."""

import asyncio
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from core.strict_json import MAX_DEPTH, JsonRefused, decoded, parse_strict
from serve.error_docs import errors_of_a_body
from serve.errors import ApiError, invalid

Model = TypeVar("Model", bound=BaseModel)


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
    """Strict JSON of `core.strict_json`; where it is one line of several, `line` says which."""
    try:
        return parse_strict(decoded(data), nul=True)  # a field that must not hold NUL says so with its name
    except JsonRefused as refused:
        raise _refused(refused, where, expected, line or refused.line) from None


def _refused(refused: JsonRefused, where: str, expected: str, line: int) -> ApiError:
    place = f"at line {line} column {refused.column}"
    code = refused.rule if refused.rule in ("too_deep", "lone_surrogate") else "invalid_json"
    wanted = {"too_deep": f"at most {MAX_DEPTH} levels of nesting", "lone_surrogate": "whole Unicode characters"}
    asked = "UTF-8" if refused.rule == "invalid_utf8" else wanted.get(refused.rule, expected)
    return ApiError(400, f"Expected {asked} in {where}, found {refused.found} {place}", code=code)


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
    content = {"application/json": {"schema": _schema(model)}}
    return {"requestBody": {"required": True, "content": content}, "responses": errors_of_a_body()}


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return _inlined(model.model_json_schema(ref_template="#/components/schemas/{model}"))


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
