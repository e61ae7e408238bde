"""A JSON file that is an array of objects, or an object with one such array, read one element at a time."""

import codecs
import json
import re
from collections.abc import Iterator
from typing import BinaryIO

from core.strict_json import JsonRefused, first_problem, parse_strict
from resources.records import BadLine, FileRefused, Limits, Record

_PIECE = 1 << 18
_SPACE = re.compile(r"[ \t\n\r]*+")
_UNDECODED = re.compile("[\udc80-\udcff]")  # what `surrogateescape` makes of bytes that are no UTF-8
_NEAR_THE_END = 16  # a literal or an escape that is cut off fails this close to the end of what was read
# finds where a value ends without judging it: numbers are not even converted
_ENDS = json.JSONDecoder(parse_constant=len, parse_float=len, parse_int=len)


def read_json(file: BinaryIO, limits: Limits) -> Iterator[Record | BadLine]:
    """Each element, as a record or as what is wrong with it. Raises FileRefused where the text itself breaks off."""
    text = _Text(file, limits.record_bytes)
    if text.next_mark("[{") == "[":
        yield from _array(text)
    else:
        yield from _one_array(text, limits.columns)
    if text.peek():
        raise text.refusal("invalid_json", "expected the end of the file, found more")


def _array(text: "_Text") -> Iterator[Record | BadLine]:
    if text.peek() == "]":
        text.next_mark("]")
        return
    while True:
        text.peek()
        line, column = text.place()
        yield _element(text.value(), line, column)
        if text.next_mark(",]") == "]":
            return


def _one_array(text: "_Text", most: int) -> Iterator[Record | BadLine]:
    keys: set[str] = set()
    arrays = 0
    while not (text.peek() == "}" and not keys):
        if text.peek() != '"':
            raise text.refusal("invalid_json", "expected a key, found none")
        key = text.value()
        if key in keys:
            raise text.refusal("duplicate_key", "expected every key once, found one twice")
        keys.add(key)
        if len(keys) > most:
            raise text.refusal("too_many_columns", f"expected at most {most} keys beside the array, found more")
        text.next_mark(":")
        if text.peek() != "[":
            text.value()
        elif arrays:
            raise text.refusal("several_arrays", "expected one array of records, found a second: send it alone")
        else:
            arrays += 1
            text.next_mark("[")
            yield from _array(text)
        if text.next_mark(",}") == "}":
            break
    if not arrays:
        raise FileRefused("no_array", "expected an array of records, found none in the object")


def _element(value: str, line: int, column: int) -> Record | BadLine:
    if not value.isascii() and (found := _UNDECODED.search(value)):
        problem = JsonRefused("invalid_utf8", "an invalid byte: save the text as UTF-8", value, found.start())
        return _bad(problem, line, column)
    try:
        parsed = parse_strict(value)
    except JsonRefused as refused:
        return _bad(refused, line, column)
    if not isinstance(parsed, dict):
        return BadLine(line, column, "not_an_object", "expected a JSON object, found another value")
    return Record(line, parsed, column)


def _bad(problem: JsonRefused, line: int, column: int) -> BadLine:
    within = column - 1 if problem.line == 1 else 0
    message = f"expected a JSON object, found {problem.found}"
    return BadLine(line + problem.line - 1, problem.column + within, problem.rule, message)


class _Text:
    """The text of a file as it is read, with the place in it; at most one value and one piece are held."""

    def __init__(self, file: BinaryIO, most: int) -> None:
        self._file = file
        self._most = most
        self._decode = codecs.getincrementaldecoder("utf-8-sig")(errors="surrogateescape").decode
        self._held = ""
        self._at = 0
        self._ended = False
        self._line, self._column, self._counted = 1, 1, 0  # the place of the character at `_counted`

    def peek(self) -> str:
        """The next character that is no space, not taken; empty at the end."""
        while True:
            space = _SPACE.match(self._held, self._at)
            self._at = space.end() if space else self._at
            if self._at < len(self._held) or not self._more():
                return self._held[self._at : self._at + 1]

    def next_mark(self, wanted: str) -> str:
        """Take the next character, one of those wanted. Raises FileRefused for another."""
        found = self.peek()
        if not found or found not in wanted:
            raise self.refusal(
                "invalid_json", f"expected {' or '.join(wanted)}, found {'another character' if found else 'the end'}"
            )
        self._at += 1
        return found

    def value(self) -> str:
        """Take the text of the next value. Raises FileRefused when it has no end within bounds."""
        self.peek()
        while True:
            try:
                end = _ENDS.raw_decode(self._held, self._at)[1]
            except json.JSONDecodeError as error:
                self._check_whole(error)
            except RecursionError:
                raise self._too_deep() from None
            else:
                if end < len(self._held) or self._ended:
                    return self._take(end)
            if len(self._held) - self._at > self._most:
                raise self.refusal("record_too_long", f"expected at most {self._most} characters a record, found more")
            self._more()

    def place(self) -> tuple[int, int]:
        """Line and column of the next character."""
        passed = self._held[self._counted : self._at]
        lines = passed.count("\n")
        self._line += lines
        self._column = len(passed) - passed.rfind("\n") if lines else self._column + len(passed)
        self._counted = self._at
        return self._line, self._column

    def refusal(self, what: str, message: str) -> FileRefused:
        return FileRefused(what, message, *self.place())

    def _take(self, end: int) -> str:
        value = self._held[self._at : end]
        self._at = end
        if len(value) > self._most:
            raise self.refusal("record_too_long", f"expected at most {self._most} characters a record, found more")
        return value

    def _check_whole(self, error: json.JSONDecodeError) -> None:
        """Nothing when more text may mend it, else its refusal."""
        cut = error.msg.startswith("Unterminated string") or error.pos >= len(self._held) - _NEAR_THE_END
        if self._ended or not cut:
            self._at = error.pos
            raise self.refusal("invalid_json", f"expected JSON, found {error.msg}")

    def _too_deep(self) -> FileRefused:
        problem = first_problem(self._held[self._at :])
        self._at += problem.at if problem else 0
        return self.refusal("too_deep", f"expected JSON, found {problem.found if problem else 'too many levels'}")

    def _more(self) -> bool:
        """Read on, twice as much each time a value needs more: a long one is not looked at too often."""
        if self._ended:
            return False
        self.place()
        self._held, self._at, self._counted = self._held[self._at :], 0, 0
        data = self._file.read(max(_PIECE, len(self._held)))
        self._ended = not data
        self._held += self._decode(data, not data)
        return True
