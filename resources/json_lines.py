"""JSON Lines within bounds: one object a line, each line read for itself."""

from collections.abc import Iterator
from typing import BinaryIO

from core.strict_json import JsonRefused, decoded, parse_strict
from resources.records import BadLine, FileRefused, Limits, Record

_PIECE = 1 << 18


def read_json_lines(file: BinaryIO, limits: Limits) -> Iterator[Record | BadLine]:
    """Each line that is not blank, as a record or as what is wrong with it."""
    for number, line, whole in byte_lines(file, limits):
        if line is None:
            found = f"expected at most {limits.record_bytes} bytes a line, found more"
            yield BadLine(number, limits.record_bytes + 1, "line_too_long", found)
        elif line.strip(b" \t\r\n"):
            yield _read(number, line, whole)


def _read(number: int, line: bytes, whole: bool) -> Record | BadLine:
    try:
        value = parse_strict(decoded(line))
    except JsonRefused as refused:
        rule = "torn_last_line" if not whole and refused.rule == "invalid_json" else refused.rule
        return BadLine(number, refused.column, rule, f"expected a JSON object, found {refused.found}")
    if not isinstance(value, dict):
        return BadLine(number, 1, "not_an_object", "expected a JSON object, found another value")
    return Record(number, value)


def byte_lines(file: BinaryIO, limits: Limits) -> Iterator[tuple[int, bytes | None, bool]]:
    """Number, bytes and whether the line has its end; None for the bytes of a line too long, which is not held.

    Raises FileRefused for more lines than allowed, blank ones included: each costs time.
    """
    number, kept, too_long, most = 1, b"", False, limits.record_bytes
    while piece := file.read(_PIECE):
        first, *others = piece.split(b"\n")
        kept, too_long = (b"", True) if too_long or len(kept) + len(first) > most else (kept + first, False)
        for other in others:
            yield number, None if too_long else kept, True
            number, kept, too_long = number + 1, other, len(other) > most
        if number > limits.lines:
            raise FileRefused("too_many_lines", f"expected at most {limits.lines} lines, found more", number)
    if kept or too_long:
        yield number, None if too_long else kept, False
