"""Conversations by hand: looked at in pages, imported, reset, erased."""

import asyncio
import hashlib
import logging
import sqlite3
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse

from resources.store import Store
from serve import figures
from serve.bodies import idempotency_key, read_bytes
from serve.error_docs import STORED, errors
from serve.errors import ApiError
from serve.importing import CHUNK, Import, Tally, read
from serve.limits import Gate, IngressLimits
from serve.pages import page_shape
from serve.schema import ConversationsQuery, DeleteQuery
from serve.store_door import StoreDoor

log = logging.getLogger(__name__)

IMPORTED = "conversations_imported"
_KEYS_REMEMBERED = 200


def conversation_routes(
    door: StoreDoor, limits: IngressLimits, backups: Path, forget: Callable[[str], object] | None = None
) -> APIRouter:
    """`forget` takes a person out of what an agent remembers, at once: it would repeat what was erased."""
    routes = APIRouter(prefix="/mlops/conversations", tags=["Loop"], responses=errors(*STORED, 409, 507))
    imports = Gate("imports", limits.imports)  # each is held in memory whole
    importing = asyncio.Lock()  # one at a time: chats share the database's single writer

    @routes.get("")
    async def conversations(query: Annotated[ConversationsQuery, Query()]) -> dict[str, Any]:
        """Stored conversations, newest first."""
        number, size = query.as_page()
        filters = query.model_dump(include={"user_id", "session_id", "source", "eligible", "version"})
        page = await door.ask(lambda store: store.conversations.page(number, size, **filters))
        return page_shape(page, figures.conversation_row)

    @routes.post("", openapi_extra=_IMPORT_BODY, responses=errors(400, 408, 413, 415))
    async def import_conversations(request: Request) -> JSONResponse:
        """Bring conversations in, as a list or as JSON lines; the same Idempotency-Key gives the same answer."""
        key = idempotency_key(request)
        with imports.place():
            body = await read_bytes(request, limits.import_bytes, limits.body_seconds)
            found = await asyncio.to_thread(read, body, limits.import_conversations, key)
            hashes = {"key": _sha256(key.encode()) if key else None, "body": _sha256(body)}
            async with importing:
                return JSONResponse((await _import(door, found, hashes)).answer())

    @routes.delete("")
    async def delete_conversations(query: Annotated[DeleteQuery, Query()]) -> dict[str, Any]:
        """Without `user_id`: what no version has claimed leaves the queue. With it: all of that user is erased.

        `versions_affected` are those whose adapters saw them; `restarted` is the one in training, which begins again
        without them. Datasets, reports and copies of resets follow within minutes, told by the event
        `erasure_finished`.
        """
        if query.user_id is not None:
            erased = await _erase(door, query.user_id)
            if forget is not None:
                await asyncio.to_thread(_forget, forget, query.user_id)
            return erased
        backup = backups / _backup_name() if query.backup is not False else None
        cleared = await door.ask(lambda store: store.conversations.clear_waiting(backup))
        kept = f"backups/{cleared.backup.name}" if cleared.backup else None
        return {"deleted": cleared.deleted, "backup": kept, "versions_affected": []}

    return routes


async def _import(door: StoreDoor, found: Import, hashes: dict[str, str | None]) -> Tally:
    known = await door.ask(lambda store: _before(store, hashes["key"])) if hashes["key"] else None
    if known is not None:
        if known["body"] != hashes["body"]:
            message = "Idempotency-Key: expected the body it was first used with, found another"
            raise ApiError(409, message, param="Idempotency-Key", code="idempotency_key_reused")
        return Tally(known["accepted"], known["duplicates"], found.rejected)
    tally = Tally(rejected=found.rejected)
    for start in range(0, len(found.conversations), CHUNK):
        batch = found.conversations[start : start + CHUNK]
        for captured in await door.ask(lambda store, batch=batch: store.conversations.capture(batch)):  # type: ignore[misc]
            again = captured.duplicate_id and captured.id not in found.derived
            repeated = again or captured.reason == "duplicate"
            tally.duplicates += repeated
            tally.accepted += not repeated
    data = {**hashes, "accepted": tally.accepted, "duplicates": tally.duplicates, "rejected": len(tally.rejected)}
    message = f"{tally.accepted} conversations imported, {tally.duplicates} duplicates, {len(tally.rejected)} rejected"
    await door.ask(lambda store: store.events.add(IMPORTED, message, data=data))
    return tally


def _before(store: Store, key: str | None) -> dict[str, Any] | None:
    """What an earlier import with this key came to."""
    imports = store.events.page(_KEYS_REMEMBERED, type=IMPORTED)
    return next((event.data for event in imports if event.data.get("key") == key), None)


async def _erase(door: StoreDoor, user_id: str) -> dict[str, Any]:
    erased = await door.ask(lambda store: store.conversations.erase_user(user_id))
    found = {"deleted": erased.deleted, "versions_affected": list(erased.versions)}
    return {**found, "restarted": erased.restarted, "erasure_id": erased.id}


def _forget(forget: Callable[[str], object], user_id: str) -> None:
    try:
        forget(user_id)
    except sqlite3.Error as error:  # the erasure is written down, and its sweep tries again
        log.error("the agent's memory of a person is erased later: %s", type(error).__name__)


def _backup_name() -> str:
    """Made here: no client names a file."""
    return f"conversations-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}.jsonl"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


_LINE = (
    "One object a line: messages and reply (or ShareGPT's, Alpaca's, or prompt and completion), provenance, "
    "and optionally id, user_id, session_id, thread_id, source, created_at."
)
_IMPORT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"type": "array", "items": {"type": "object"}}},
            "application/x-ndjson": {"schema": {"type": "string", "description": _LINE}},
        },
    }
}
