"""One run of the agent: which version answers, what it may use, and where it ends."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from pydantic import Field

from core.domain import Domain

Message = dict[str, str]


class Piece(NamedTuple):
    """Some words of a reply; `finish` as OpenAI has it, with the last of them."""

    text: str
    finish: str | None = None


class Ask(Protocol):
    """A model: the reply of `model` in pieces. What it raises may carry a `code`, as OpenAI's errors do."""

    def __call__(
        self, model: str, messages: Sequence[Message], parameters: Mapping[str, Any]
    ) -> AsyncGenerator[Piece, None]: ...


class AgentLimits(Domain):
    """`steps` of the graph and `seconds` a run; messages and bytes that are remembered of a thread."""

    steps: int = Field(default=12, ge=2, le=1000)
    seconds: float = Field(default=120.0, gt=0)
    memory_messages: int = Field(default=40, ge=2)
    memory_bytes: int = Field(default=65_536, ge=1024)


class AgentStopped(Exception):
    """A run that reached one of its bounds; the message says which, and how to raise it."""

    def __init__(self, bound: Literal["steps", "time"], message: str) -> None:
        super().__init__(message)
        self.bound = bound


class AgentRequest(Domain):
    """What is asked. `messages` end with the user's; `thread` is the key of a memory, None for none.

    `model` is one concrete version (`v3`, `base`): all of the run is written by it.
    """

    messages: tuple[Message, ...] = Field(min_length=1)
    model: str
    thread: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    features: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Began:
    """`messages` are what the reply answers: the client's instructions, what was remembered, and the question."""

    messages: tuple[Message, ...]


@dataclass(frozen=True)
class Delta:
    text: str


@dataclass(frozen=True)
class Done:
    text: str
    finish: str


Said = Began | Delta | Done


@dataclass
class Run:
    """What a graph gets as its context. `calls` counts the replies that the model began in this run."""

    request: AgentRequest
    instructions: str
    _ask: Ask
    calls: int = 0
    finish: str = "stop"
    features: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.features = self.request.features

    async def ask(self, messages: Sequence[Message]) -> AsyncGenerator[str, None]:
        """The reply of this run's version, in pieces."""
        begun = False
        async with aclosing(self._ask(self.request.model, messages, self.request.parameters)) as pieces:
            async for piece in pieces:
                self.calls += not begun
                begun = True
                self.finish = piece.finish or self.finish
                if piece.text:
                    yield piece.text
        self.calls += not begun
