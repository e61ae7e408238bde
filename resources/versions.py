"""Versions: who claimed which conversations, how far it came, and what was decided."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from core.gate import Verdict
from core.rules import Finding
from core.sides import Side
from resources.conversations import StoredConversation

State = Literal["open", "trained", "promoted", "rejected", "failed", "abandoned"]
Desired = Literal["run", "stop"]

MAX_ATTEMPTS = 5
REJECTIONS_THAT_PAUSE = 2


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
    n: int
    state: State
    desired: Desired
    parent: int | None
    attempts: int
    fence: int
    beat: int
    owner: str | None
    released: bool
    error: str | None
    error_class: str | None
    dataset_hash: str | None
    adapter_sha256: str | None
    mlflow_run_id: str | None
    mlflow_version: str | None
    verdict: Verdict | None
    report_path: str | None
    override_reason: str | None
    counts: dict[str, Any]
    training: dict[str, Any]
    method: str
    base_fingerprint: str
    created_at: datetime
    started_at: datetime
    finished_at: datetime | None
    stage: str | None

    @property
    def unfinished(self) -> bool:
        return self.state in ("open", "trained")

    @property
    def backoff_seconds(self) -> float:
        """How long after it was released with an error an observer waits, on its own monotonic clock; 0 without one."""
        return min(5.0 * 2.0 ** (self.attempts - 1), 300.0) if self.released and self.error else 0.0


@dataclass(frozen=True)
class Performance:
    """Over all finished runs; a rejected candidate is no failure. `mean_seconds` is None before the first."""

    finished: int
    failed: int
    mean_seconds: float | None


class Versions:
    def claim(self, owner: str, *, dead_beat: int | None = None) -> Claim | None:
        """Take the unfinished version over, or all waiting conversations and triggers as a new one.

        None: nothing eligible waits. VersionBusy: its owner may be alive (VersionStopped: a person stopped it).
        AttemptsExhausted: it has just been failed.
        """
        raise NotImplementedError

    def hold(self, claim: Claim) -> bool:
        """One heartbeat; False says that the claim is lost."""
        raise NotImplementedError

    def release(self, claim: Claim, error: str | None = None) -> None:
        """Give the lease back; a claim that is lost already is left alone."""
        raise NotImplementedError

    def rows(self, n: int) -> list[StoredConversation]:
        """The conversations of a version, in their order."""
        raise NotImplementedError

    def accepted_before(self, n: int) -> list[StoredConversation]:
        """The conversations of earlier versions that screening accepted, in their order."""
        raise NotImplementedError

    def screen(
        self,
        claim: Claim,
        sides: Mapping[str, Side],
        findings: Mapping[str, Sequence[Finding]],
        units: Mapping[str, Side] | None = None,
    ) -> None:
        """Store sides and findings of this version's conversations; a side, once stored, stays."""
        raise NotImplementedError

    def unit_sides(self) -> dict[str, Side]:
        """The side of every unit ever placed."""
        raise NotImplementedError

    def set_dataset(self, claim: Claim, dataset_hash: str, counts: Mapping[str, Any]) -> None:
        raise NotImplementedError

    def set_mlflow_run(self, claim: Claim, run_id: str) -> None:
        raise NotImplementedError

    def mark_trained(self, claim: Claim, adapter_sha256: str, training: Mapping[str, Any]) -> None:
        """open to trained; Fenced when somebody else holds the version."""
        raise NotImplementedError

    def set_verdict(self, claim: Claim, verdict: Verdict, report_path: str) -> None:
        """Store what the gate said, before anything shows it."""
        raise NotImplementedError

    def conclude(self, claim: Claim, mlflow_version: str | None, override_reason: str | None = None) -> Version:
        """trained to promoted, which moves the champion, or to rejected; NotAllowed without a verdict."""
        raise NotImplementedError

    def fail(self, claim: Claim | int, error_class: str, message: str, *, max_attempts: int = MAX_ATTEMPTS) -> Version:
        """Record a failed attempt and release; after the last one the version is failed and its rows wait again."""
        raise NotImplementedError

    def abandon(self, n: int, reason: str) -> Version:
        """Give an unfinished version up: its conversations wait again."""
        raise NotImplementedError

    def stop(self, n: int) -> Version:
        raise NotImplementedError

    def resume(self, n: int) -> Version:
        raise NotImplementedError

    def get(self, n: int) -> Version:
        """NotFound when there is none."""
        raise NotImplementedError

    def unfinished(self) -> Version | None:
        raise NotImplementedError

    def history(self, limit: int = 50, offset: int = 0) -> list[Version]:
        """Newest first."""
        raise NotImplementedError

    def next_number(self) -> int:
        raise NotImplementedError

    def performance(self) -> Performance:
        raise NotImplementedError
