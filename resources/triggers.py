"""Requests to train that wait for a version."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Trigger:
    """`created` is False when the same request was waiting already; `version` is the one it became."""

    id: int
    kind: str
    force: bool
    params: dict[str, Any]
    created_at: datetime
    version: int | None
    cancelled: bool
    created: bool


class Triggers:
    def add(self, kind: str, force: bool, params: Mapping[str, Any], idempotency_key: str | None = None) -> Trigger:
        """Ask for a version; an equal request that waits, or one with the same key, is given back instead."""
        raise NotImplementedError

    def next(self) -> Trigger | None:
        """The oldest that waits."""
        raise NotImplementedError

    def get(self, id: int) -> Trigger | None:
        raise NotImplementedError
