"""Formats of conversation files by name, and how a record's format is recognised."""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Literal, get_args

from core.domain import Domain, Identifier

ImportFormat = Literal["messages", "sharegpt", "alpaca", "prompt_completion"]
ExportFormat = Literal["messages", "alpaca", "sharegpt", "prompt_completion", "kto", "dpo"]
IMPORT_FORMATS: tuple[ImportFormat, ...] = get_args(ImportFormat)
EXPORT_FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)

LOOKED_AT = 50
TEXT_COLUMNS: dict[ImportFormat, frozenset[str]] = {
    "messages": frozenset({"messages", "conversations", "reply", "system"}),
    "sharegpt": frozenset({"conversations", "system"}),
    "alpaca": frozenset({"instruction", "input", "output", "history", "system"}),
    "prompt_completion": frozenset({"prompt", "completion", "label", "system"}),
}


class Columns(Domain):
    """Which column holds what; set those whose names differ from the format's own.

    Without a name, `messages`, `role` and `content` are those of the format: `messages` or `conversations` of `role`
    and `content`, in ShareGPT `conversations` of `from` and `value`.
    """

    messages: Identifier | None = None
    role: Identifier | None = None
    content: Identifier | None = None
    reply: Identifier = "reply"
    system: Identifier = "system"
    instruction: Identifier = "instruction"
    input: Identifier = "input"
    output: Identifier = "output"
    history: Identifier = "history"
    prompt: Identifier = "prompt"
    completion: Identifier = "completion"
    label: Identifier = "label"
    id: Identifier = "id"
    user_id: Identifier = "user_id"
    session_id: Identifier = "session_id"
    thread_id: Identifier = "thread_id"


OWN_COLUMNS = Columns()


class RecordRefused(ValueError):
    """A record that its format cannot mean: the rule, where in the record, what was expected and found."""

    def __init__(self, rule: str, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}")
        self.rule = rule
        self.where = where
        self.problem = problem


class FormatUnknown(ValueError):
    """Records of no known format, or of several."""


def detect_format(record: Mapping[str, Any], columns: Columns = OWN_COLUMNS) -> ImportFormat | None:
    """What a record looks like by its columns; None when it looks like nothing known."""
    turns = record.get(list_column(record, columns))
    if isinstance(turns, list) and turns and isinstance(turns[0], Mapping):
        if columns.role or "role" in turns[0]:
            return "messages"
        return "sharegpt" if "from" in turns[0] else None
    if columns.instruction in record and columns.output in record:
        return "alpaca"
    return "prompt_completion" if columns.prompt in record and columns.completion in record else None


def format_of(records: Iterable[Mapping[str, Any]], columns: Columns = OWN_COLUMNS) -> ImportFormat:
    """The one format of the first records of a file. Raises FormatUnknown when none or several fit."""
    found = Counter(detect_format(record, columns) for record in islice(records, LOOKED_AT))
    known = sorted(name for name in found if name is not None)
    if len(known) == 1:
        return next(name for name in IMPORT_FORMATS if name == known[0])
    seen = f"records of {' and '.join(known)}" if known else "columns of none"
    expected = f"records of one format among {', '.join(IMPORT_FORMATS)}"
    raise FormatUnknown(f"Expected {expected}, found {seen}: name the format, or the columns")


def list_column(record: Mapping[str, Any], columns: Columns) -> str:
    """The column that holds the turns of a thread."""
    return columns.messages or ("messages" if "messages" in record else "conversations")
