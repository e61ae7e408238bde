"""Who answers a turn: whom the client, the settings or an experiment name, and who stands in for them."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from core.conversation import Message, Provenance
from serve.agent_client import not_taken
from serve.champion_follower import Swaps, UnknownModel
from serve.engine_client import Body, EngineClient
from serve.experiment_follower import Assigned
from serve.guarded import Chats, Deadlines, Guarded
from serve.live_view import LiveView
from serve.turn import AGENT, Turn

log = logging.getLogger(__name__)

Tier = Literal["primary", "fallback"]


class Follower(Protocol):
    """What is needed of ChampionFollower."""

    current: str
    swaps: Swaps

    async def resolve(self, model: str) -> str: ...

    def names(self) -> list[str]: ...

    def when_back(self, tell: Callable[[], None]) -> None: ...


class Experimenting(Protocol):
    """What is needed of ExperimentFollower."""

    def assigned(self, turn: Turn) -> Assigned | None: ...


@dataclass(frozen=True)
class Speaker:
    """Who answers: its name is what every reply says of itself. `asked` is what it answers, if not just the turn's."""

    name: str
    provenance: Provenance
    chats: Chats
    tier: Tier = "primary"
    arm: Assigned | None = None
    asked: tuple[Message, ...] | None = None
    started: float = field(default_factory=time.monotonic)


class Speakers:
    """The engine, the teacher and the agent, each behind its circuit breakers, and whose turn it is."""

    def __init__(
        self,
        engine: EngineClient,
        follower: Follower,
        live: LiveView,
        deadlines: Deadlines,
        teacher: Chats | None = None,
        agent: Chats | None = None,
        experiments: Experimenting | None = None,
    ) -> None:
        self._engine, self._follower, self._live = Guarded(engine, deadlines), follower, live
        follower.when_back(self._try_now)
        self._teacher = Guarded(teacher, deadlines) if teacher else None
        self._agent = Guarded(agent, deadlines) if agent else None
        self._experiments, self._seconds = experiments, deadlines.reply
        self._told = False

    def _try_now(self) -> None:
        """An agent could not answer either while there was no engine."""
        for chats in (self._engine, self._agent):
            if chats:
                chats.try_now()

    def names(self) -> list[str]:
        """Every model a client may ask for."""
        others = {"teacher": self._teacher, AGENT: self._agent}
        return [*self._follower.names(), *(name for name, chats in others.items() if chats)]

    def champion(self) -> str:
        """The concrete name behind `production`."""
        return self._follower.current

    def swaps(self) -> Swaps:
        """What became of the moves of the champion since the start."""
        return self._follower.swaps

    def circuits(self) -> dict[str, dict[str, Any]]:
        """The circuit breakers of the champion, of teacher and agent, and of what else was asked for."""
        taught = self._teacher.status("teacher") if self._teacher else {}
        acted = self._agent.status(AGENT) if self._agent else {}
        return self._engine.status(self._follower.current) | taught | acted

    def arm(self, turn: Turn) -> Assigned | None:
        """The arm of a running experiment; with `student` no message leaves for a teacher, whatever was planned.

        What an agent cannot give is not asked of it either: nobody named it.
        """
        arm = self._experiments.assigned(turn) if self._experiments else None
        leaves = arm is not None and arm.model == "teacher" and self._live.settings.answer_with == "student"
        cannot = arm is not None and arm.model == AGENT and not_taken(turn.parameters)
        return None if leaves or cannot else arm

    def body(self, speaker: Speaker, turn: Turn, stream: bool) -> Body:
        """What it is asked."""
        if speaker.chats is not self._agent:
            return turn.body(speaker.name, stream=stream)
        return {**turn.body(AGENT, stream=stream), AGENT: turn.for_agent(speaker.name)}

    async def speaker(self, asked: str, tier: Tier, arm: Assigned | None, turn: Turn) -> Speaker:
        """Who stands behind a name now. Raises UnknownModel."""
        if asked == "teacher":
            if self._teacher is None:
                raise self._missing(asked, "not configured: set OPENAI_API_KEY or OPENAI_BASE_URL")
            return Speaker("teacher", "teacher", self._teacher, tier, arm)
        if asked == AGENT:
            if self._agent is None:
                raise self._missing(asked, "switched off: set AGENT_ENABLED=true")
            async with asyncio.timeout(self._seconds):  # one version for all of the run, whatever is promoted meanwhile
                return Speaker(await self._follower.resolve(turn.version), "self", self._agent, tier, arm)
        if arm is not None:  # it was made servable before it got any traffic
            return Speaker(asked, "self", self._engine, tier, arm)
        async with asyncio.timeout(self._seconds):  # at the start `production` waits for the first champion
            return Speaker(await self._follower.resolve(asked), "self", self._engine, tier)

    def _missing(self, name: str, why: str) -> UnknownModel:
        return UnknownModel(f"Expected one of {', '.join(self.names())}, found {name}, which is {why}")

    def order(self, asked: str, arm: Assigned | None) -> tuple[str, ...]:
        """Who is asked, one after the other; who asks for a name gets that one or an error.

        The arm of a running experiment comes before all wishes; where it cannot, whoever would have answered does.
        With `student` no message leaves for another machine. `auto`: the teacher until a version was promoted. Where no
        teacher is configured, the champion answers whatever is set.
        """
        if arm is not None:
            ours = "production" if arm.model == self._follower.current else arm.model
            return (arm.model, *(name for name in self.order(asked, None) if name not in (ours, arm.model)))
        wish = self._live.settings.answer_with
        if asked != "production" or wish == "student" or self._teacher is None:
            if asked == "production" and wish == "teacher":
                self._tell_once()
            return (asked,)
        ours_first = wish == "auto" and self._follower.current != "base"
        return ("production", "teacher") if ours_first else ("teacher", "production")

    def _tell_once(self) -> None:
        """The settings are stored, and so outlive the key of the teacher they name."""
        if not self._told:
            self._told = True
            log.warning("answer_with is teacher and none is configured (OPENAI_API_KEY): the champion answers")
