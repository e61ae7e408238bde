"""What a dataset file holds of each conversation, and how it is spelled for the hash of the dataset."""

import json
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import pyarrow as pa

from core.conversation import Conversation, Message
from core.sides import Side


class DatasetRow(NamedTuple):
    """One conversation with what a dataset says of it.

    `unit` is its user or thread, `version` the one that claimed it, `cluster` the first it is a near-duplicate of.
    """

    side: Side
    conversation: Conversation
    unit: str
    version: int | None = None
    cluster: int | None = None
    tokens: int | None = None
    language: str | None = None
    quality: float | None = None


CONVERSATION = pa.schema(
    [
        ("id", pa.string()),
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("reply", pa.string()),
        ("user_id", pa.string()),
        ("session_id", pa.string()),
        ("thread_id", pa.string()),
        ("source", pa.string()),
        ("provenance", pa.string()),
        ("model", pa.string()),
        ("complete", pa.bool_()),
        ("created_at", pa.timestamp("us", tz="UTC")),
    ]
)
FOUND = pa.schema(
    [
        ("unit", pa.string()),
        ("version", pa.int32()),
        ("cluster", pa.int64()),
        ("tokens", pa.int32()),
        ("turns", pa.int32()),
        ("language", pa.string()),
        ("quality", pa.float64()),
    ]
)
COLUMNS = pa.schema([*CONVERSATION, *FOUND])

_PLAIN = [name for name in CONVERSATION.names if name != "messages"]
_SPELLED = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def table(rows: Sequence[DatasetRow]) -> pa.Table:
    """Columns of these rows, in their order."""
    fields = [vars(row.conversation) for row in rows]
    columns: dict[str, list[Any]] = {name: [of[name] for of in fields] for name in _PLAIN}
    columns |= {name: [getattr(row, name) for row in rows] for name in FOUND.names if name != "turns"}
    columns["turns"] = [turns(row.conversation) for row in rows]
    arrays = {name: pa.array(values, COLUMNS.field(name).type) for name, values in columns.items()}
    arrays["messages"] = _messages([of["messages"] for of in fields])
    return pa.table([arrays[name] for name in COLUMNS.names], schema=COLUMNS)


def _messages(of_each: Sequence[Sequence[Message]]) -> pa.Array:
    """Put together from flat columns, in half the time that a dictionary for each message takes."""
    flat = [message for messages in of_each for message in messages]
    kind = CONVERSATION.field("messages").type
    columns = [pa.array([getattr(message, field.name) for message in flat], field.type) for field in kind.value_type]
    offsets = pa.array(accumulate(map(len, of_each), initial=0), pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(columns, fields=list(kind.value_type)))


def turns(conversation: Conversation) -> int:
    """How often the user speaks."""
    return sum(message.role == "user" for message in conversation.messages)


def spelled(conversation: Conversation) -> bytes:
    """One line that is equal for equal conversations, whichever library writes the files."""
    fields = [getattr(conversation, name) for name in _PLAIN[:-1]]
    messages = [[message.role, message.content] for message in conversation.messages]
    return _SPELLED.encode([messages, *fields, conversation.created_at.isoformat()]).encode() + b"\n"
