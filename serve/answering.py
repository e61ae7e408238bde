"""The reply itself and its way into the store: the same for every route that chats."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Protocol

from core.conversation import Conversation
from serve.engine_client import EngineClient, Item
from serve.errors import api_error
from serve.experiment_follower import Assigned
from serve.guarded import Chats, Deadlines
from serve.keeper import Keeper, Kept
from serve.limits import Gate
from serve.live_view import LiveView
from serve.metrics import Metrics, Pace
from serve.speakers import Experimenting, Follower, Speaker, Speakers, Tier
from serve.teacher import REFUSED
from serve.turn import AGENT, DONE, Draft, Turn, event, events
from serve.upstream_answer import asked_in, check_head, chunk_of, ended_early


class Noting(Protocol):
    """What is needed of ServedLog."""

    def note(self, arm: Assigned, turn: Turn, draft: Draft, seconds: float) -> None: ...


@dataclass(frozen=True)
class Reply:
    """A whole reply: `body` is the OpenAI answer, `seconds` what the model took."""

    body: dict[str, Any]
    text: str
    model: str
    kept: Kept
    seconds: float
    tier: Tier = "primary"


@dataclass(frozen=True)
class Opened:
    """The first item of a stream: what the headers say."""

    model: str
    kept: Kept
    tier: Tier = "primary"


class _Passed(Exception):
    """One upstream could not answer, and another is asked."""


class Answering:
    def __init__(
        self,
        engine: EngineClient,
        follower: Follower,
        keeper: Keeper,
        live: LiveView,
        metrics: Metrics,
        gate: Gate,
        deadlines: Deadlines,
        teacher: Chats | None = None,
        experiments: tuple[Experimenting, Noting] | None = None,
        agent: Chats | None = None,
    ) -> None:
        assigning = experiments[0] if experiments else None
        self._noting: Noting | None = experiments[1] if experiments else None
        self.speakers = Speakers(engine, follower, live, deadlines, teacher, agent, assigning)
        self._keeper, self._live = keeper, live
        self._metrics, self._gate, self._seconds = metrics, gate, deadlines.reply
        self.waiting = 0  # chats of which nobody has begun to answer

    async def reply(self, turn: Turn) -> Reply:
        """A whole reply, in the store before it is returned. A client that leaves cancels the engine's work."""
        with self._gate.place():
            started = time.monotonic()
            speaker, items, body = await self._begin(turn, stream=False)
            await items.aclose()
            draft = Draft()
            draft.read(body.get("choices"))
            self._count(turn, speaker, draft)
            self._metrics.count_tokens(speaker.name, body.get("usage"))
            seconds = time.monotonic() - started
            kept = self._noted(await self._keep(turn, speaker, draft, self._unwanted(turn)))
            said = {**body, "id": turn.id, "model": speaker.name}
            return Reply(said, draft.text, speaker.name, kept, seconds, speaker.tier)

    async def stream(self, turn: Turn) -> AsyncGenerator[Opened | str, None]:
        """First `Opened`, then server-sent events. The row is in the store, incomplete, before the first of them.

        Whatever ends it early leaves the row incomplete with what was said so far.
        """
        with self._gate.place():
            draft, unwanted = Draft(), self._unwanted(turn)
            asked, deadline = time.monotonic(), asyncio.get_running_loop().time() + self._seconds
            speaker, opened, _ = await self._begin(turn, stream=True)
            pace = Pace(self._metrics, speaker.name, asked)
            async with aclosing(opened) as items:
                kept = await self._keep(turn, speaker, draft, unwanted)
                yield Opened(speaker.name, kept, speaker.tier)
                try:
                    async for chunk in self._chunks(items, deadline, draft, pace):
                        if chunk.get("choices") == [] and "usage" in chunk and not turn.wants_usage:
                            continue  # the count of tokens that we asked for, and the client did not
                        yield event({**chunk, "id": turn.id, "model": speaker.name})
                    if not draft.failed:
                        kept = await self._keep(turn, speaker, draft, unwanted)
                        draft.stored = kept.collected
                        yield event(DONE)
                finally:
                    self._count(turn, speaker, draft)
                    self._noted(kept)
                    if not draft.stored and not unwanted:
                        self._keeper.keep_later(draft_of(turn, speaker, draft))

    async def _begin(self, turn: Turn, *, stream: bool) -> tuple[Speaker, AsyncGenerator[Item, None], dict[str, Any]]:
        """The first who can answer, what it says after its head, and the JSON of that head."""
        self.waiting += 1
        try:
            return await self._first_of(turn, stream)
        finally:
            self.waiting -= 1

    async def _first_of(self, turn: Turn, stream: bool) -> tuple[Speaker, AsyncGenerator[Item, None], dict[str, Any]]:
        arm = self.speakers.arm(turn)
        *before, last = self.speakers.order(turn.model, arm)
        for place, name in enumerate(before):
            with contextlib.suppress(_Passed):
                return await self._head_of(name, turn, stream, place, arm, may_pass=True)
        return await self._head_of(last, turn, stream, len(before), arm)

    async def _head_of(
        self,
        name: str,
        turn: Turn,
        stream: bool,
        place: int,
        arm: Assigned | None,
        *,
        may_pass: bool = False,
    ) -> tuple[Speaker, AsyncGenerator[Item, None], dict[str, Any]]:
        """Raises _Passed where another may answer instead: the request was sound, and nothing of it was said yet.

        At place 0 answers whom the settings or the experiment name, at every later one a stand-in.
        """
        arm = None if place else arm
        speaker = await self.speakers.speaker(name, "fallback" if place else "primary", arm, turn)
        items = speaker.chats.chat(self.speakers.body(speaker, turn, stream))
        try:
            head = await anext(items)
            said = check_head(head)
            return replace(speaker, asked=asked_in(head)), items, said
        except BaseException as error:
            await items.aclose()
            if not isinstance(error, Exception):  # the client left before there was a word
                self._count(turn, speaker, Draft())
            else:
                known = api_error(error)
                ours = known.status >= 500 or (arm is not None and known.status == 404)  # nobody asked for an arm
                ours |= may_pass and known.code == REFUSED  # nor for the teacher: what it takes is not what we take
                self._count(turn, speaker if ours else replace(speaker, arm=None), Draft(failed=True))
                if may_pass and ours:
                    raise _Passed from error
            raise

    async def _chunks(
        self, items: AsyncGenerator[Item, None], deadline: float, draft: Draft, pace: Pace
    ) -> AsyncGenerator[dict[str, Any], None]:
        """What comes before [DONE], read into the draft; an error is the last of it."""
        try:
            while True:
                async with asyncio.timeout_at(deadline):
                    item = await anext(items)
                for data in events(str(item)):
                    if data == DONE:
                        return
                    chunk = chunk_of(data)
                    if draft.read(chunk.get("choices")):
                        pace.said()
                    self._metrics.count_tokens(pace.model, chunk.get("usage"))
                    yield chunk
        except Exception as error:  # noqa: BLE001 (the HTTP edge: the answer has begun, so the error is its last event)
            draft.failed = True
            yield ended_early(error).body()

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

    def _count(self, turn: Turn, speaker: Speaker, draft: Draft) -> None:
        if speaker.arm and self._noting:
            self._noting.note(speaker.arm, turn, draft, time.monotonic() - speaker.started)
        outcome = "failed" if draft.failed else {None: "abandoned", "stop": "completed"}.get(draft.finish, "cut")
        self._metrics.replies.labels(speaker.name, outcome).inc()


def draft_of(turn: Turn, speaker: Speaker, draft: Draft) -> Conversation:
    """The conversation as far as it has come: with what was remembered of its thread, where an agent answered."""
    if speaker.asked is not None:
        thread = turn.thread_id or turn.session_id  # its turns repeat each other, so they lie on one side together
        turn = replace(turn, messages=speaker.asked, source=AGENT, thread_id=thread)
    return turn.conversation(draft.text, speaker.name, speaker.provenance, draft.complete)
