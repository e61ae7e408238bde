"""The conversations that ship with Whetstone: the frozen general set of the gate, and the replay set of training."""

import json
from datetime import UTC, datetime
from pathlib import Path

from core.conversation import Conversation

DATA = Path(__file__).resolve().parents[1] / "data"
GENERAL = DATA / "general_set.jsonl"
REPLAY = DATA / "replay_set.jsonl"

_WRITTEN = datetime(2026, 1, 1, tzinfo=UTC)


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
