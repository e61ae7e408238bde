"""An uploaded file as conversations: one sample a record, and a finding for whatever is none."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from core.conversation import Conversation
from core.formats import IMPORT_FORMATS, LOOKED_AT, Columns, FormatUnknown, ImportFormat, RecordRefused, format_of
from core.formats_in import to_conversations
from core.pii import mask_personal
from core.wish import source_of
from resources.line_findings import LineFinding
from resources.readers import read_stored
from resources.recognisers import DataRecogniser, recogniser
from resources.records import BadLine, FileRefused, Record

# what stands where a record of somebody stood who asked to be erased, so that the others keep their numbers
ERASED: Mapping[str, Any] = {"erased": True}
BATCH_CHARACTERS = 8_000_000

Item = TypeVar("Item")


class TaskRefused(ValueError):
    """What was asked of a file cannot be done: the rule, and a sentence for whoever asked."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule
        self.message = message


class Sample(NamedTuple):
    """A record, where it began (column 0: all of its line), and a conversation for each reply in it."""

    line: int
    record: Mapping[str, Any]
    conversations: list[Conversation]
    column: int = 0

    def finding(self, rule: str, severity: str, message: str) -> LineFinding:
        """What is said of it, at its place."""
        return LineFinding(self.line, self.column or None, rule, severity, message)


class Source(NamedTuple):
    """An uploaded file and what is known of it; `format` may be `auto` until it was looked at."""

    id: int
    path: Path
    extension: str
    format: str
    columns: Columns
    created_at: datetime
    provenance: str = "human"
    recogniser: DataRecogniser = "none"

    @classmethod
    def of(cls, job: Mapping[str, Any]) -> "Source":
        """From the plain values that a job carries."""
        return cls(
            id=job["id"],
            path=Path(job["path"]),
            extension=job["extension"],
            format=job["format"],
            columns=Columns.model_validate(job["mapping"]),
            created_at=datetime.fromisoformat(job["created_at"]),
            provenance=job.get("provenance", "human"),
            recogniser=job.get("recogniser", "none"),
        )

    @property
    def name(self) -> str:
        """What its conversations have as their source, and their ids begin with."""
        return source_of(self.id)

    def masked(self, conversation: Conversation) -> tuple[Conversation, Counter[str]]:
        """As it is written to any file: without personal data, and what was masked, by kind."""
        return mask_personal(conversation, recogniser(self.recogniser))


def format_in(source: Source) -> ImportFormat:
    """The format of the file: as it was named, else recognised by its first records. FileRefused if all are bad."""
    known = next((name for name in IMPORT_FORMATS if name == source.format), None)
    if known:
        return known
    found = list(islice(read_stored(source.path, source.extension, keep_good=True), LOOKED_AT))
    records = [one.value for one in found if isinstance(one, Record) and one.value != ERASED]
    if not records and (bad := next((one for one in found if isinstance(one, BadLine)), None)):
        raise FileRefused.for_line(bad)  # its format is not what is wrong with it
    try:
        return format_of(records, source.columns)
    except FormatUnknown as unknown:
        raise TaskRefused("unknown_format", str(unknown)) from None


def samples(source: Source, format: ImportFormat, *, keep_good: bool = True) -> Iterator[Sample | LineFinding]:
    """Everything in the file, in its order. FileRefused for the file, and without `keep_good` for a bad line.

    Ids count the records of the file: several may stand on one line.
    """
    for number, found in enumerate(read_stored(source.path, source.extension, keep_good=keep_good), start=1):
        if isinstance(found, BadLine):
            yield _finding(found)
        elif found.value != ERASED:
            yield _sample(source, format, found, number)


def length_of(conversation: Conversation) -> int:
    """In characters."""
    return len(conversation.reply) + sum(len(message.content) for message in conversation.messages)


def characters_of(found: Sample | LineFinding) -> int:
    """What is held of a record, in characters."""
    return sum(map(length_of, found.conversations)) if isinstance(found, Sample) else len(found.message)


def in_batches(found: Iterable[Item], most: int, length: Callable[[Item], int]) -> Iterator[list[Item]]:
    """At most so many at once, and fewer where they are long: a record may have megabytes."""
    batch: list[Item] = []
    held = 0
    for item in found:
        batch.append(item)
        held += length(item)
        if len(batch) == most or held >= BATCH_CHARACTERS:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _sample(source: Source, format: ImportFormat, record: Record, number: int) -> Sample | LineFinding:
    try:
        conversations = to_conversations(
            format,
            record.value,
            source.columns,
            id=f"{source.name}-{number}",
            source=source.name,
            provenance=source.provenance,
            created_at=source.created_at,
        )
    except RecordRefused as refused:
        where = (record.line, record.column or None)
        return LineFinding(*where, refused.rule, "error", f"{refused.where}: {refused.problem}")
    return Sample(record.line, record.value, conversations, record.column)


def _finding(bad: BadLine) -> LineFinding:
    return LineFinding(bad.line, bad.column or None, bad.rule, "error", bad.message)
