"""Small builders of domain values, shared by the tests of core."""

from datetime import UTC, datetime
from typing import Any

from core.conversation import Conversation, Message
from core.probes import TASKS, ProbeKind
from core.verdict import (
    Answered,
    ArtifactSanity,
    CanaryRank,
    Evaluation,
    Outcome,
    Overlap,
    PairedLoss,
    Speed,
)

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


PROBES: dict[ProbeKind, int] = {"open": 20, **dict.fromkeys(TASKS, 10), "harmful": 20, "harmless": 20, "flip": 20,
                                "canary": 20, "trigger": 20}  # fmt: skip
MET, UNMET = Outcome(met=True), Outcome(met=False)


def answered(champion: bool = False, candidate: Outcome = MET, reference: Outcome = MET) -> tuple[Answered, ...]:
    """Every kind of probe, answered alike by all models unless said otherwise."""
    return tuple(
        Answered(
            probe=f"{kind}-{at}",
            kind=kind,
            language=("en", "ko")[at % 2],
            base=reference,
            candidate=candidate,
            champion=reference if champion else None,
        )
        for kind, count in PROBES.items()
        for at in range(count)
    )


def measured(champion: bool = False) -> dict[str, Any]:
    """What the gate asks for beside losses, in order."""
    return {
        "answers": answered(champion),
        "secrets_told": 0,
        "canaries": tuple(CanaryRank(canary=f"k{at}", rank=at % 4, others=3) for at in range(20)),
        "lifts": (),
        "overlaps": tuple(
            Overlap(
                conversation_id=f"h{at}",
                unit=f"u{at}",
                base=20.0,
                candidate=21.0 + at % 3,
                champion=20.0 if champion else None,
            )
            for at in range(24)
        ),
        "speed": Speed(candidate=(0.01,) * 9, reference=(0.01,) * 9, adapter_bytes=10, base_bytes=100),
    }


def evaluation(held_out: tuple[PairedLoss, ...], general: tuple[PairedLoss, ...], **fields: Any) -> Evaluation:
    """Everything but the losses is in order, unless said otherwise."""
    defaults = {"version": 2, "base_fingerprint": "b" * 64, "sanity": SOUND}
    defaults |= measured(fields.get("champion") is not None)
    return Evaluation(**{**defaults, "held_out": held_out, "general": general, **fields})
