"""Who answers, the reply itself, and its way into the store: the same for every route that chats."""

import asyncio
import json
import re
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

from core.conversation import Conversation, Provenance
from serve.champion_follower import UnknownModel
from serve.engine_client import Body, EngineClient, Item
from serve.errors import ApiError, api_error, busy
from serve.keeper import Keeper, Kept
from serve.limits import Gate
from serve.live_view import LiveView
from serve.metrics import Metrics
from serve.teacher import Teacher
from serve.turn import DONE, Draft, Turn, event, events

_TOO_LONG = re.compile(r"maximum (context|model) length", re.IGNORECASE)


class Follower(Protocol):
    """What is needed of ChampionFollower."""

    current: str

    async def resolve(self, model: str) -> str: ...

    def names(self) -> list[str]: ...


class Chats(Protocol):
    """What the engine and the teacher have in common."""

    def chat(self, body: Body) -> AsyncGenerator[Item, None]: ...


@dataclass(frozen=True)
class Speaker:
    """Who answers: its name is what every reply says of itself."""

    name: str
    provenance: Provenance
    chats: Chats


@dataclass(frozen=True)
class Reply:
    """A whole reply: `body` is the OpenAI answer, `seconds` what the model took."""

    body: dict[str, Any]
    text: str
    model: str
    kept: Kept
    seconds: float


@dataclass(frozen=True)
class Opened:
    """The first item of a stream: what the headers say."""

    model: str
    kept: Kept


class Answering:
    def __init__(
        self,
        engine: EngineClient,
        follower: Follower,
        keeper: Keeper,
        live: LiveView,
        metrics: Metrics,
        gate: Gate,
        reply_seconds: float,
        teacher: Teacher | None = None,
    ) -> None:
        self._engine, self._follower, self._keeper, self._live = engine, follower, keeper, live
        self._metrics, self._gate, self._seconds, self._teacher = metrics, gate, reply_seconds, teacher

    def names(self) -> list[str]:
        """Every model a client may ask for."""
        return [*self._follower.names(), *(["teacher"] if self._teacher else [])]

    def champion(self) -> str:
        """The concrete name behind `production`."""
        return self._follower.current

    async def reply(self, turn: Turn) -> Reply:
        """A whole reply, in the store before it is returned. A client that leaves cancels the engine's work."""
        with self._gate.place():
            speaker, draft, started = await self._speaker(turn.model), Draft(), time.monotonic()
            try:
                body = await self._whole(speaker, turn)
                draft.read(body.get("choices"))
            except Exception:
                draft.failed = True
                raise
            finally:
                self._count(speaker, draft)
            seconds = time.monotonic() - started
            kept = self._noted(await self._keep(turn, speaker, draft, self._unwanted(turn)))
            return Reply({**body, "id": turn.id, "model": speaker.name}, draft.text, speaker.name, kept, seconds)

    async def stream(self, turn: Turn) -> AsyncGenerator[Opened | str, None]:
        """First `Opened`, then server-sent events. The row is in the store, incomplete, before the first of them.

        Whatever ends it early leaves the row incomplete with what was said so far.
        """
        with self._gate.place():
            speaker, draft, unwanted = await self._speaker(turn.model), Draft(), self._unwanted(turn)
            deadline = asyncio.get_running_loop().time() + self._seconds
            async with aclosing(speaker.chats.chat(turn.body(speaker.name, stream=True))) as items:
                async with asyncio.timeout_at(deadline):
                    _check_head(await anext(items))
                kept = await self._keep(turn, speaker, draft, unwanted)
                yield Opened(speaker.name, kept)
                try:
                    async for chunk in self._chunks(items, deadline, draft):
                        yield event({**chunk, "id": turn.id, "model": speaker.name})
                    if not draft.failed:
                        kept = await self._keep(turn, speaker, draft, unwanted)
                        draft.stored = kept.collected
                        yield event(DONE)
                finally:
                    self._count(speaker, draft)
                    self._noted(kept)
                    if not draft.stored and not unwanted:
                        self._keeper.keep_later(draft_of(turn, speaker, draft))

    async def _speaker(self, asked: str) -> Speaker:
        if asked == "teacher" or (asked == "production" and self._teacher_answers()):
            if self._teacher is None:
                known, remedy = ", ".join(self.names()), "set OPENAI_API_KEY or OPENAI_BASE_URL"
                raise UnknownModel(f"Expected one of {known}, found teacher, which is not configured: {remedy}")
            return Speaker("teacher", "teacher", self._teacher)
        async with asyncio.timeout(self._seconds):  # at the start `production` waits for the first champion
            return Speaker(await self._follower.resolve(asked), "self", self._engine)

    def _teacher_answers(self) -> bool:
        """`auto`: the teacher while there is one and no version of ours has been promoted."""
        wish = self._live.settings.answer_with
        return wish == "teacher" or (wish == "auto" and self._teacher is not None and self._follower.current == "base")

    async def _whole(self, speaker: Speaker, turn: Turn) -> dict[str, Any]:
        async with (
            asyncio.timeout(self._seconds),
            aclosing(speaker.chats.chat(turn.body(speaker.name, stream=False))) as items,
        ):
            return _check_head(await anext(items))

    async def _chunks(
        self, items: AsyncGenerator[Item, None], deadline: float, draft: Draft
    ) -> AsyncGenerator[dict[str, Any], None]:
        """What comes before [DONE], read into the draft; an error is the last of it."""
        started = time.monotonic()
        try:
            while True:
                async with asyncio.timeout_at(deadline):
                    item = await anext(items)
                for data in events(str(item)):
                    if data == DONE:
                        return
                    chunk = _chunk(data)
                    if not draft.text:
                        self._metrics.first_token_seconds.observe(time.monotonic() - started)
                    draft.read(chunk.get("choices"))
                    yield chunk
        except Exception as error:  # noqa: BLE001 (the HTTP edge: the answer has begun, so the error is its last event)
            draft.failed = True
            yield _ended_early(error).body()

    async def _keep(self, turn: Turn, speaker: Speaker, draft: Draft, unwanted: str | None) -> Kept:
        """Store it as it is now, or say why not."""
        return Kept(False, reason=unwanted) if unwanted else await self._keeper.keep(draft_of(turn, speaker, draft))

    def _unwanted(self, turn: Turn) -> str | None:
        """Why this turn is not to be stored; None when it is."""
        if not turn.keep:
            return "opted_out"
        return None if self._live.settings.conversation_collection_enabled else "collection_disabled"

    def _noted(self, kept: Kept) -> Kept:
        if not kept.collected:
            self._metrics.uncollected.labels(kept.reason or "refused").inc()
        return kept

    def _count(self, speaker: Speaker, draft: Draft) -> None:
        outcome = "failed" if draft.failed else {None: "abandoned", "stop": "completed"}.get(draft.finish, "cut")
        self._metrics.replies.labels(speaker.name, outcome).inc()


def draft_of(turn: Turn, speaker: Speaker, draft: Draft) -> Conversation:
    """The conversation as far as it has come."""
    return turn.conversation(draft.text, speaker.name, speaker.provenance, draft.complete)


def _chunk(data: str) -> dict[str, Any]:
    chunk = json.loads(data)
    if not isinstance(chunk, dict):
        raise ValueError("a chunk that is no object")
    if "error" in chunk:
        raise _refusal(500, chunk)
    return chunk


def _check_head(head: Item) -> dict[str, Any]:
    """The JSON behind a head; its error, if it has one, in our words."""
    if not isinstance(head, dict):
        raise ApiError(502, "Expected a head before the reply, found something else", code="engine_failed")
    if head.get("status") != 200:
        raise _refusal(int(head.get("status", 500)), head.get("json") or {})
    return dict(head.get("json") or {})


def _refusal(status: int, body: dict[str, Any]) -> ApiError:
    """An error of the engine: what it says of the request is passed on, what it says of itself is not."""
    found = body.get("error")
    error: dict[str, Any] = found if isinstance(found, dict) else {}
    code = error.get("code") if isinstance(error.get("code"), str) else None
    said = str(error.get("message", "")).partition("input_value")[0][:500]  # what follows would quote the request
    if 400 <= status < 500 and _TOO_LONG.search(said):
        return ApiError(status, said, param="messages", code="context_length_exceeded")
    if 400 <= status < 500:
        return ApiError(status, said or "The engine refused the request", param=error.get("param"), code=code)
    if status == 503:
        return busy(said or "The engine cannot answer now", code or "engine_unavailable", 5)
    return ApiError(500, "The engine failed on this request: its log says why", code="engine_failed")


def _ended_early(error: BaseException) -> ApiError:
    if isinstance(error, StopAsyncIteration | ValueError):
        return ApiError(502, "Expected the reply to end with [DONE], found it broken off", code="broken_off")
    return api_error(error)
