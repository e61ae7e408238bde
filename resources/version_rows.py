"""What a version is, and how it is read from its row."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, select

from core.verdict import Verdict
from resources.store_errors import NotFound
from resources.tables import versions

State = Literal["open", "trained", "promoted", "rejected", "failed", "abandoned"]
Desired = Literal["run", "stop"]

# beside the figures of its training
OUT_OF_MEMORY = "attempts_out_of_memory"

FIRST_BACKOFF_SECONDS = 5.0
LONGEST_BACKOFF_SECONDS = 300.0


@dataclass(frozen=True)
class Claim:
    """The right to work on version n, as long as the store still holds this fence."""

    n: int
    fence: int
    attempt: int
    state: State
    resumed: bool


@dataclass(frozen=True)
class Version:
    """`settings` are the live settings at the claim; `error` is what ended the last attempt, None while one runs."""

    n: int
    state: State
    desired: Desired
    parent: int | None
    method: str
    base_fingerprint: str
    owner: str | None
    fence: int
    beat: int
    released: bool
    attempts: int
    error_class: str | None
    error: str | None
    stage: str | None
    settings: dict[str, Any]
    counts: dict[str, Any]
    screened_with: dict[str, Any] | None
    dataset_hash: str | None
    training: dict[str, Any]
    adapter_sha256: str | None
    mlflow_run_id: str | None
    mlflow_version: str | None
    verdict: Verdict | None
    report_path: str | None
    override_reason: str | None
    created_at: datetime
    started_at: datetime
    finished_at: datetime | None
    archived_at: datetime | None

    @property
    def unfinished(self) -> bool:
        return self.state in ("open", "trained")

    @property
    def out_of_memory(self) -> int:
        """How many of its attempts at training ran out of memory."""
        return int(self.training.get(OUT_OF_MEMORY, 0))

    @property
    def starts_from(self) -> int | None:
        """The version whose adapter it goes on from; None: the base, also where there was no champion."""
        return self.parent if self.settings.get("start_from") == "champion" else None

    @property
    def backoff_seconds(self) -> float:
        """How long after a failed attempt an observer waits, on its own monotonic clock; 0 after a clean release."""
        if not (self.unfinished and self.released and self.error):
            return 0.0
        return min(FIRST_BACKOFF_SECONDS * 2.0 ** (self.attempts - 1), LONGEST_BACKOFF_SECONDS)


def version_of(row: Row[Any]) -> Version:
    fields = {key: value for key, value in row._mapping.items() if key != "in_flight"}
    verdict = Verdict.model_validate_json(row.verdict) if row.verdict else None
    return Version(**{**fields, "verdict": verdict})


def version_row(connection: Connection, n: int) -> Row[Any]:
    row = connection.execute(select(versions).where(versions.c.n == n)).first()
    if row is None:
        raise NotFound(f"Expected a version v{n}, found none")
    return row


def unfinished_row(connection: Connection) -> Row[Any] | None:
    return connection.execute(select(versions).where(versions.c.in_flight.is_not(None))).first()
