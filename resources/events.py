"""What happened, in order, and what of it is told to the outside."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

WEBHOOK_TYPES = frozenset(
    {
        "run_started",
        "run_completed",
        "run_failed",
        "promoted",
        "rejected",
        "rolled_back",
        "guardrail_stop",
        "paused",
    }
)


@dataclass(frozen=True)
class Event:
    id: int
    timestamp: datetime
    type: str
    version: int | None
    message: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Outgoing:
    """One event on its way to the webhook; `id` is the same at every attempt."""

    id: int
    event: Event
    attempts: int


class Events:
    def add(self, type: str, message: str, version: int | None = None, data: Mapping[str, Any] | None = None) -> Event:
        """Write an event; those of `WEBHOOK_TYPES` go to the outbox in the same transaction."""
        raise NotImplementedError

    def page(self, limit: int = 50, after: int | None = None, type: str | None = None) -> list[Event]:
        """Newest first; with `after`, the ones that follow that id, oldest first."""
        raise NotImplementedError


class Outbox:
    def due(self, limit: int = 20) -> list[Outgoing]:
        """What is to be sent now, oldest first; without a webhook address nothing is kept for later."""
        raise NotImplementedError

    def delivered(self, id: int) -> None:
        raise NotImplementedError

    def failed(self, id: int, error: str) -> None:
        """Try again later, twice as late each time; after the last attempt it is dead and an event says so."""
        raise NotImplementedError
