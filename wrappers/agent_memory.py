"""What the agent remembers of a thread: LangGraph's checkpoints in one SQLite file, of which the last is kept."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from core.pii import UNIQUE, Masker
from wrappers.agent_run import AgentLimits, Message

# as LangGraph reads it, once, while it is imported: nothing but plain types comes back from a checkpoint
STRICT = {"LANGGRAPH_STRICT_MSGPACK": "true"}


@asynccontextmanager
async def open_memory(path: Path) -> AsyncIterator[Any]:
    """An AsyncSqliteSaver on a file that its owner alone may read; what it deletes is overwritten.

    What names a person by itself (`core.pii.UNIQUE`) is masked before it is written, as in the conversation store.
    """
    os.environ.update(STRICT)
    import aiosqlite
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    class Masking(JsonPlusSerializer):
        def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
            return super().dumps_typed(_masked(obj))

    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    async with aiosqlite.connect(path, timeout=10) as connection:
        await connection.execute("PRAGMA secure_delete=ON")
        # None: the types that LangGraph knows to be safe, also where it was imported before the variable was set
        saver = AsyncSqliteSaver(connection, serde=Masking(allowed_msgpack_modules=None))
        await saver.setup()
        yield saver


def _masked(value: Any) -> Any:
    """A checkpoint's channels, or what was written to one, with every text in them masked."""
    if isinstance(value, dict) and "channel_values" in value:
        return {**value, "channel_values": _masked(value["channel_values"])}  # the rest are LangGraph's own numbers
    if isinstance(value, dict):
        return {key: _masked(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_masked(each) for each in value) if type(value) in (list, tuple) else value
    return Masker(UNIQUE).mask(value) if isinstance(value, str) else value


async def keep_last(saver: Any, thread: str) -> None:
    """Delete all checkpoints of a thread but the newest: each holds the whole thread."""
    newest = "SELECT max(checkpoint_id) FROM checkpoints WHERE thread_id = :thread"
    async with saver.lock:
        for table in ("checkpoints", "writes"):
            older = f"DELETE FROM {table} WHERE thread_id = :thread AND checkpoint_id < ({newest})"  # noqa: S608 -- two names of ours
            await saver.conn.execute(older, {"thread": thread})
        await saver.conn.commit()


def bounded(messages: Sequence[Message], limits: AgentLimits) -> list[Message]:
    """The newest that fit, from a user's to an assistant's; a question that was never answered is left out."""
    kept: list[Message] = []
    room = limits.memory_bytes
    answered = next((at for at in range(len(messages), 0, -1) if messages[at - 1]["role"] == "assistant"), 0)
    for message in reversed(messages[:answered]):
        room -= len(message["content"].encode())
        if room < 0 or len(kept) == limits.memory_messages:
            break
        kept.append(message)
    kept.reverse()
    first = next((at for at, message in enumerate(kept) if message["role"] == "user"), len(kept))
    return kept[first:]
