"""What a check says of one place of an uploaded file."""

from dataclasses import dataclass

MOST_FINDINGS = 10_000  # of one run; all are counted


@dataclass(frozen=True)
class LineFinding:
    """`line` and `column` count from 1, None where they mean nothing; the message quotes no text."""

    line: int | None
    column: int | None
    rule: str
    severity: str
    message: str
