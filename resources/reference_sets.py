"""The conversations that ship with Whetstone: the frozen general set of the gate, and the replay set of training."""

import json
from datetime import UTC, datetime
from pathlib import Path

from core.conversation import Conversation
from core.probes import Probe

DATA = Path(__file__).resolve().parents[1] / "data"
GENERAL = DATA / "general_set.jsonl"
REPLAY = DATA / "replay_set.jsonl"
PROBES = DATA / "probes.jsonl"

_WRITTEN = datetime(2026, 1, 1, tzinfo=UTC)


def read_probes(path: Path = PROBES) -> list[Probe]:
    """The probes of the gate, in file order; a ValueError names the line that does not read."""
    probes = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            probes.append(Probe.model_validate_json(line))
        except ValueError as error:
            raise ValueError(f"Expected a probe in {path.name} line {number}: {error}") from error
    return probes


def gate_items() -> list[Conversation]:
    """All that the gate measures with and nobody may train on: the general set, and probes with what they expect."""
    return [*read_set(GENERAL), *(_as_conversation(probe) for probe in read_probes())]


def _as_conversation(probe: Probe) -> Conversation:
    reply = " ".join((*probe.expect, *(probe.never if probe.kind == "canary" else ()))) or "…"
    return Conversation(
        id=probe.id, messages=probe.messages, reply=reply, source="probe", provenance="human", created_at=_WRITTEN
    )


def read_set(path: Path) -> list[Conversation]:
    """The conversations of a shipped set, in file order; a ValueError names the line that does not read."""
    conversations = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            fields = json.loads(line)
            conversations.append(Conversation(**fields, source="reference", provenance="human", created_at=_WRITTEN))
        except (TypeError, ValueError) as error:
            raise ValueError(f"Expected a conversation in {path.name} line {number}: {error}") from error
    return conversations
