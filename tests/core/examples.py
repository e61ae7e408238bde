"""Small builders of domain values, shared by the tests of core."""

from datetime import UTC, datetime
from typing import Any

from core.conversation import Conversation, Message
from core.verdict import ArtifactSanity, Evaluation, PairedLoss

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def talk(*contents: str, system: str | None = None) -> tuple[Message, ...]:
    """Messages of user and assistant in turn, with a system message where one is given."""
    turns = [Message(role=("user", "assistant")[i % 2], content=text) for i, text in enumerate(contents)]
    return tuple([Message(role="system", content=system)] if system is not None else []) + tuple(turns)


def conversation(question: str = "Why is the sky blue?", reply: str = "Rayleigh.", **fields: Any) -> Conversation:
    defaults = {"id": "c1", "messages": talk(question), "source": "import", "provenance": "human", "created_at": NOON}
    return Conversation(**{**defaults, "reply": reply, **fields})


def pairs(
    differences: list[float], champion: bool = False, per_unit: int = 1, where: str = "h"
) -> tuple[PairedLoss, ...]:
    """Losses around 3 nats whose candidate differs from its reference by the given amounts."""
    return tuple(
        PairedLoss(
            conversation_id=f"{where}{i}",
            unit=f"user:{where}{i // per_unit}",
            tokens=10,
            base=4.0 if champion else 3.0,
            champion=3.0 if champion else None,
            candidate=3.0 + difference,
        )
        for i, difference in enumerate(differences)
    )


SOUND = ArtifactSanity(finite=True, changed=True, right_base=True)


def evaluation(held_out: tuple[PairedLoss, ...], general: tuple[PairedLoss, ...], **fields: Any) -> Evaluation:
    defaults = {"version": 2, "base_fingerprint": "b" * 64, "sanity": SOUND}
    return Evaluation(**{**defaults, "held_out": held_out, "general": general, **fields})
