"""CSV within bounds: a header, then records that may span lines; what a spreadsheet would run is no text."""

import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from core.strict_json import JsonRefused, decoded
from resources.json_lines import byte_lines
from resources.records import BadLine, FileRefused, Limits, Record

_DELIMITERS = ",;\t"
_QUOTED = re.compile(r'"[^"]*"')
# =… runs in every spreadsheet, but for => and ==, which begin nothing that could; +, - and @ begin honest text, but not
# before a call or a command. In a list (- Python (파이썬)은 ...) no call has anything but ASCII behind it, and no word
# apart from its bracket (-Python (파이썬)) is one where that holds a gloss: other letters, and no quote or cell.
_GLOSS = r"\((?=[^\"'|!()\x80-\U0010ffff]{0,200}[^\x00-\x7f])[^\"'|!()]{1,200}\)"
_FORMULA = re.compile(
    rf"\s*(?:=(?![=>])|[-+@][A-Za-z_][\w.]*(?:[|(!]|\s+(?!{_GLOSS})[|(!])"
    r"|[-+@]\s+[A-Za-z_][\w.]*\s*[|(!](?=[\x00-\x7f]*\Z))"
)
_MOST_LINES = 50_000  # of one record: an empty line costs us a hundred times its byte
_MOST_REREAD = 16  # records' worth of text that is read again after quotes without an end


class _BadRecord(Exception):
    """A record that cannot be read, raised through csv's own reader."""

    def __init__(self, bad: BadLine) -> None:
        super().__init__(bad.message)
        self.bad = bad


def read_csv(file: BinaryIO, limits: Limits) -> Iterator[Record | BadLine]:
    """Each row under its header's names. Raises FileRefused for a header that names no columns."""
    csv.field_size_limit(max(csv.field_size_limit(), limits.record_bytes))
    lines = _Lines(file, limits)
    rows = _rows(lines, _delimiter(lines.look()))
    header = _header(next(rows, None), limits)
    for first, row in rows:
        if isinstance(row, BadLine):
            yield row
        elif row:
            yield _checked(first, row, header)


def _delimiter(line: str) -> str:
    bare = _QUOTED.sub("", line)
    return max(_DELIMITERS, key=bare.count)


def _header(found: "tuple[int, list[str] | BadLine] | None", limits: Limits) -> list[str]:
    if found is None or not found[1]:
        raise FileRefused("empty_file", "expected a header, found none", 1, 1)
    line, row = found
    if isinstance(row, BadLine):
        raise FileRefused.for_line(row)
    names = [name.strip() for name in row]
    if len(names) > limits.columns:
        raise FileRefused("too_many_columns", f"expected at most {limits.columns} columns, found {len(names)}", line, 1)
    for number, name in enumerate(names, start=1):
        if not name or _FORMULA.match(name):
            raise FileRefused("invalid_header", "expected a name for every column, found none", line, number)
        if name in names[: number - 1]:
            raise FileRefused("duplicate_column", "expected every column once, found a name twice", line, number)
    return names


def _checked(line: int, row: Sequence[str], header: Sequence[str]) -> Record | BadLine:
    if len(row) != len(header):
        message = f"expected {len(header)} fields as in the header, found {len(row)}: quote what holds a delimiter"
        return BadLine(line, min(len(row), len(header)), "columns", message)
    for number, cell in enumerate(row, start=1):
        if "\0" in cell:
            return BadLine(line, number, "nul", "expected text, found a NUL")
        if _FORMULA.match(cell):
            message = "expected text, found what a spreadsheet would run: send it as JSON Lines if it is meant"
            return BadLine(line, number, "csv_formula", message)
    return Record(line, dict(zip(header, row, strict=True)))


def _rows(lines: "_Lines", delimiter: str) -> Iterator[tuple[int, list[str] | BadLine]]:
    """Rows with the line they began on. After one without an end, reading begins again at its second line."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.begin()
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield lines.first, _unreadable(lines, str(error))
            lines.again_after_first()
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
        except _BadRecord as error:
            yield lines.first, error.bad
            lines.again_after_first()
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
        else:
            yield lines.first, row


def _unreadable(lines: "_Lines", error: str) -> BadLine:
    if "new-line" in error:
        return BadLine(lines.first, 0, "line_end", "expected lines to end in LF or CRLF, found a CR alone")
    return BadLine(
        lines.first, 0, "unbalanced_quotes", "expected every quote closed before a delimiter, found one open"
    )


class _Lines:
    """Lines for csv's reader; those of the record at hand are kept, so that it can be read anew without its first."""

    def __init__(self, file: BinaryIO, limits: Limits) -> None:
        self._source = byte_lines(file, limits)
        self._most = limits.record_bytes
        self._again: deque[tuple[int, str]] = deque()
        self._record: list[tuple[int, str]] = []
        self._size = self._reread = 0
        self.first = 1

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        number, line = self._again.popleft() if self._again else self._fresh()
        if not self._record:
            self.first = number
        self._record.append((number, line))
        self._size += len(line)
        if self._size > self._most or len(self._record) > _MOST_LINES:
            most = f"{self._most} characters and {_MOST_LINES} lines"
            message = f"expected at most {most} a record, found more: is a quote left open?"
            raise _BadRecord(BadLine(self.first, 0, "record_too_long", message))
        return line

    def begin(self) -> None:
        self._record, self._size = [], 0

    def look(self) -> str:
        """The first line, which is not taken."""
        try:
            number, line = self._fresh()
        except StopIteration:
            return ""
        except _BadRecord as error:
            raise FileRefused.for_line(error.bad) from None
        self._again.append((number, line))
        return line

    def again_after_first(self) -> None:
        self._again.extendleft(reversed(self._record[1:]))
        self._reread += self._size
        if self._reread > _MOST_REREAD * self._most:
            raise FileRefused("unbalanced_quotes", "expected CSV, found too many quotes left open", self.first)

    def _fresh(self) -> tuple[int, str]:
        number, line, whole = next(self._source)
        if line is None:
            message = f"expected at most {self._most} bytes a line, found more"
            raise _BadRecord(BadLine(number, 0, "line_too_long", message))
        try:
            return number, decoded(line) + ("\n" if whole else "")
        except JsonRefused as refused:
            message = f"expected UTF-8, found {refused.found}"
            raise _BadRecord(BadLine(number, 0, refused.rule, message)) from None
