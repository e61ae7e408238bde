"""The versions of a swap bench: made in the store and on disk as the loop makes them, and moved as a person does."""

import itertools
import time
from collections.abc import Sequence
from pathlib import Path

from bench.forced_words import ForcedWords
from core.conversation import Conversation, Message
from core.verdict import GateThresholds, Verdict
from resources.settings import Settings
from resources.store import Store, open_store
from resources.tables import utc_now
from resources.versions import Claim

BY = "the bench"


class SwapVersions:
    """`v1` and `v2` are promoted from the start; every further one is prepared first, then concluded."""

    def __init__(self, settings: Settings, forced: ForcedWords) -> None:
        self.store: Store = open_store(settings.database_url, live_defaults=settings.live(), lineage=forced.lineage)
        self.words = forced.words
        self._forced, self._state = forced, settings.state_dir
        self._numbers = itertools.count(1)
        self._claim: Claim | None = None

    def make(self, numbers: Sequence[int]) -> None:
        """Write adapters aside."""
        for n in numbers:
            self._forced.publish(n, self._aside(n))

    def prepare_next(self) -> str:
        """The next version with its adapter on disk and the gate's word for it, not yet concluded."""
        n = next(self._numbers)
        question = Message(role="user", content=f"What does version {n} say?")
        said = Conversation(
            id=f"swap-{n}",
            messages=(question,),
            reply=f"It says{self.words[n]}.",
            source="import",
            provenance="human",
            created_at=utc_now(),
        )
        self.store.conversations.capture([said])
        claim = self.store.versions.claim(BY)
        if claim is None or claim.n != n:
            raise RuntimeError(f"Expected to claim v{n}, found {claim}")
        target = self._state / "adapters" / f"v{n}"
        target.parent.mkdir(exist_ok=True)
        self._aside(n).rename(target)
        verdict = Verdict(promoted=True, reasons=("it says its word",), checks=(), thresholds=GateThresholds())
        self.store.versions.mark_trained(claim, "a" * 64, {})
        self.store.versions.set_verdict(claim, verdict, "report.md")
        self._claim = claim
        return f"v{n}"

    def conclude_next(self) -> tuple[str, float]:
        """The gate promotes what was prepared; its name, and when that was committed (seconds, monotonic)."""
        if self._claim is None:
            raise RuntimeError("Expected a prepared version, found none")
        claim, self._claim = self._claim, None
        self.store.versions.conclude(claim, None)
        return f"v{claim.n}", time.monotonic()

    def swap_back(self) -> tuple[str, float]:
        """The champion before answers again; its name, and when that was committed (seconds, monotonic)."""
        champion = self.store.champion.roll_back(by=BY)
        return f"v{champion.n}", time.monotonic()

    def said_by(self, model: str) -> str:
        """The word of a version."""
        return self.words[int(model[1:])]

    def load_seconds(self) -> list[float]:
        """What loading and asking each version took when it was promoted, as the engine told the store."""
        found: dict[int, float] = {}
        for event in reversed(self.store.events.page(limit=100_000, type="swapped")):
            if event.version is not None:
                found.setdefault(event.version, float(event.data["seconds"]))
        return [seconds for n, seconds in found.items() if n > 2]

    def _aside(self, n: int) -> Path:
        return self._state / "made" / f"v{n}"
