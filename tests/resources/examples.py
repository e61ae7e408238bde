"""Small builders shared by the tests of the store."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from core.conversation import Conversation, Message
from core.rules import Finding
from core.sides import Side
from core.verdict import GateThresholds, Verdict
from resources.screening_rows import Decided, Screened, Standing
from resources.store import Store
from resources.versions import Claim, Version

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SHA = "a" * 64
ERROR = Finding(rule="empty_reply", severity="error", where="reply", message="Expected a reply, found none")
WARNING = Finding(rule="long", severity="warning", where="reply", message="Rather long")


def conversation(id: str = "c1", question: str | None = None, **fields: Any) -> Conversation:
    """A human's conversation, distinct by its id unless the question is given."""
    asked = question if question is not None else f"What is {id}?"
    defaults: dict[str, Any] = {"reply": "An answer.", "source": "import", "provenance": "human", "created_at": NOON}
    return Conversation(id=id, messages=(Message(role="user", content=asked),), **{**defaults, **fields})


def fill(store: Store, *ids: str, **fields: Any) -> None:
    store.conversations.capture([conversation(id, **fields) for id in ids])


def claimed(store: Store, *ids: str, owner: str = "run-1") -> Claim:
    fill(store, *ids)
    claim = store.versions.claim(owner)
    assert claim is not None
    return claim


def screen(
    store: Store,
    claim: Claim,
    sides: Mapping[str, Side],
    findings: Mapping[str, Sequence[Finding]],
    units: Mapping[str, Side] | None = None,
) -> None:
    """Store sides and findings by id, with all else as screening leaves it."""
    found = [store.conversations.get(id) for id in sorted({*sides, *findings})]
    decided = [
        Decided(
            seq=row.seq,
            side=sides.get(row.conversation.id),
            findings=tuple(findings.get(row.conversation.id, ())),
            cluster=row.seq,
            tokens=9,
            language="en",
            quality=0.9,
            quality_parts={},
            personal={},
            masked_hash=None,
        )
        for row in found
        if row is not None
    ]
    store.versions.screen(claim, lambda connection: Screened(decided, units or {}, Standing(0, 0)))


def verdict(promoted: bool = True, reason: str = "better on the new") -> Verdict:
    return Verdict(promoted=promoted, reasons=(reason,), checks=(), thresholds=GateThresholds())


def conclude(store: Store, claim: Claim, promoted: bool = True) -> Version:
    """Through the rest of the loop."""
    store.versions.mark_trained(claim, SHA, {"loss": 2.5})
    store.versions.set_verdict(claim, verdict(promoted), "reports/x/report.md")
    return store.versions.conclude(claim, "1")


def version_of(store: Store, id: str) -> int | None:
    found = store.conversations.get(id)
    assert found is not None
    return found.version


def event_types(store: Store) -> list[str]:
    """Oldest first."""
    return [event.type for event in store.events.page(limit=1000, after=0)]
