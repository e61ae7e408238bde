"""What a record file gives: records, lines that are none, or one refusal of the whole; and the limits it is read in."""

from typing import Any, NamedTuple, Self


class Limits(NamedTuple):
    """What a file may demand of us; over it, it is refused.

    `record_bytes` is what is held at once; Parquet is read by a process that may take `parquet_bytes` of memory and
    `parquet_seconds` of computing.
    """

    file_bytes: int = 100 << 20
    decompressed_bytes: int = 1 << 30
    compression_ratio: int = 100
    record_bytes: int = 4 << 20
    records: int = 2_000_000
    lines: int = 10_000_000
    columns: int = 500
    parquet_bytes: int = 256 << 20
    parquet_seconds: int = 300


USUAL_LIMITS = Limits()
# what was taken in already, and may since have been written again without its compression
STORED_LIMITS = USUAL_LIMITS._replace(file_bytes=USUAL_LIMITS.decompressed_bytes)
# the ending of what we wrote ourselves in place of an upload; no upload is stored under it
REWRITTEN = "rewritten.jsonl"
# A record of CSV is as many characters, and its header as many again; of one JSON may make six bytes.
_REWRITTEN_LIMITS = STORED_LIMITS._replace(record_bytes=13 * USUAL_LIMITS.record_bytes)


def stored_limits(extension: str) -> Limits:
    """In what limits a stored file is read: what was a record once must be one still when it is written as JSON."""
    return _REWRITTEN_LIMITS if extension == REWRITTEN else STORED_LIMITS


class Record(NamedTuple):
    """One object and where it began: the line, in Parquet the row, from 1; in a JSON array also the column (else 0)."""

    line: int
    value: dict[str, Any]
    column: int = 0


class BadLine(NamedTuple):
    """Something that is no record: where (column from 1, in CSV that of the table; 0: all), which rule, and why."""

    line: int
    column: int
    rule: str
    message: str


class FileRefused(ValueError):
    """A file that is not read, or not further: the rule, where (line and column 0: the file as a whole) and why."""

    def __init__(self, what: str, message: str, line: int = 0, column: int = 0) -> None:
        place = f"line {line}, column {column}: " if line else ""
        super().__init__(f"{place}{message}")
        self.what = what
        self.line = line
        self.column = column
        self.message = message

    @classmethod
    def for_line(cls, bad: BadLine) -> Self:
        """The refusal of a whole file for one bad line."""
        return cls(bad.rule, bad.message, bad.line, bad.column)
