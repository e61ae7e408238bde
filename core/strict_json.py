"""JSON as it should be: UTF-8, no key twice, no NaN, no lone surrogate, bounded in depth; else what, where and why."""

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

MAX_DEPTH = 32
_MOST_DIGITS = 1000  # far beyond every field, and below what Python refuses in words of its own

_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_ESCAPE = re.compile(r"\\(?:u(?:[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<lone>[dD][89a-fA-F]..)|....)|.)")
_TOKEN = re.compile(
    r'[ \t\n\r]*+(?:(?P<text>"[^"\\]*+(?:\\.[^"\\]*+)*+")|(?P<mark>[{}\[\],:])'
    r"|(?P<number>-?[0-9]++(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?)|(?P<constant>NaN|-?Infinity)|true|false|null)"
)


class JsonRefused(ValueError):
    """Text that is not strict JSON: the rule, what was found, its offset in the text, and line and column from 1."""

    def __init__(self, rule: str, found: str, text: str, at: int) -> None:
        super().__init__(found)
        self.rule = rule
        self.found = found
        self.at = at
        self.line = text.count("\n", 0, at) + 1
        self.column = at - text.rfind("\n", 0, at)


class _Unwanted(ValueError):
    """Raised where only the fact is known, not yet the place."""


def parse_strict(text: str, *, nul: bool = False) -> Any:
    """The value of one JSON text; `nul` says whether its strings may hold NUL. Raises JsonRefused."""
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        rule = "nul" if text[error.pos : error.pos + 1] == "\0" else "invalid_json"
        raise JsonRefused(rule, "a NUL" if rule == "nul" else error.msg, text, error.pos) from None
    except (_Unwanted, RecursionError):
        raise first_problem(text, nul=nul) or JsonRefused("invalid_json", "no strict JSON", text, 0) from None
    if _too_deep(value, text) or _lone_surrogate(text) or (not nul and "\\u0000" in text):
        problem = first_problem(text, nul=nul)
        if problem:
            raise problem
    return value


def decoded(data: bytes) -> str:
    """The text of UTF-8, with or without its mark. Raises JsonRefused with the column of the first wrong byte."""
    bare = data.removeprefix(codecs.BOM_UTF8)
    try:
        return bare.decode()
    except UnicodeDecodeError as error:
        before = bare[: error.start].decode()
        at = error.start + len(data) - len(bare)
        raise JsonRefused(
            "invalid_utf8", f"an invalid byte at {at}: save the text as UTF-8", before, len(before)
        ) from None


def first_problem(text: str, *, nul: bool = False) -> JsonRefused | None:
    """The first thing that strict JSON forbids in syntactically sound JSON, with its place."""
    found = next(_problems(text, nul), None)
    return JsonRefused(found[0], found[1], text, found[2]) if found else None


def _problems(text: str, nul: bool) -> Iterator[tuple[str, str, int]]:
    open_objects: list[set[str] | None] = []  # the keys seen in each object around, None for a list
    before = ""
    position = 0
    while token := _TOKEN.match(text, position):
        position = token.end()
        start = token.start(token.lastgroup) if token.lastgroup else position
        mark = token["mark"] or ""
        if mark in ("{", "["):
            open_objects.append(set() if mark == "{" else None)
            if len(open_objects) > MAX_DEPTH:
                yield "too_deep", f"more than {MAX_DEPTH} levels of nesting", start
                return
        elif mark in ("}", "]"):
            del open_objects[-1:]
        elif token["text"]:
            yield from _in_text(token["text"], start, nul)
            keys = open_objects[-1] if open_objects else None
            if keys is not None and before in ("{", ","):
                yield from _again(token["text"], keys, start)
        elif token["number"]:
            yield from _in_number(token["number"], start)
        elif token["constant"]:
            yield "not_a_number", f"{token['constant']}, which is not a JSON number", start
        before = mark


def _in_text(literal: str, start: int, nul: bool) -> Iterator[tuple[str, str, int]]:
    for escape in _ESCAPE.finditer(literal):
        if escape["lone"]:
            yield "lone_surrogate", "a lone surrogate: send both halves", start + escape.start()
        elif escape[0] == "\\u0000" and not nul:
            yield "nul", "a NUL", start + escape.start()


def _again(literal: str, keys: set[str], start: int) -> Iterator[tuple[str, str, int]]:
    key = json.loads(literal)
    if key in keys:
        yield "duplicate_key", "the same key twice in one object", start
    keys.add(key)


def _in_number(literal: str, start: int) -> Iterator[tuple[str, str, int]]:
    if not any(mark in literal for mark in ".eE"):
        if len(literal) > _MOST_DIGITS:
            yield "number_too_long", f"a number of {len(literal)} digits", start
    elif _infinite(literal):
        yield "number_too_large", "a number too large for a double", start


def _infinite(literal: str) -> bool:
    return abs(float(literal)) == float("inf")


def _too_deep(value: Any, text: str) -> bool:
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return False
    level, depth = [value], 0
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        if depth > MAX_DEPTH:
            return True
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)]
    return False


def _lone_surrogate(text: str) -> bool:
    return bool(_ESCAPED_SURROGATE.search(text)) and any(escape["lone"] for escape in _ESCAPE.finditer(text))


def _no_constant(name: str) -> None:
    raise _Unwanted


def _whole(literal: str) -> int:
    if len(literal) > _MOST_DIGITS:
        raise _Unwanted
    return int(literal)


def _finite(literal: str) -> float:
    if _infinite(literal):
        raise _Unwanted
    return float(literal)


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Unwanted
    return found


_DECODER = json.JSONDecoder(
    parse_constant=_no_constant, parse_float=_finite, parse_int=_whole, object_pairs_hook=_no_key_twice
)
