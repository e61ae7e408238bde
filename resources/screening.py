"""From the conversations a version claimed to the two sides of its dataset; what was decided is stored first."""

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.conversation import Conversation
from core.duplicates import exact_hash
from core.manifest import Manifest
from core.rendering import ChatTokenizer, token_count
from core.rules import RULES_VERSION, Finding, Screening, screen
from core.sides import SALT, Sides, assign_sides, unit_of
from resources import datasets, folders
from resources.conversations import StoredConversation
from resources.store import Store
from resources.versions import Claim

REJECTED = "rejected."


@dataclass(frozen=True)
class Screened:
    """`train` and `held_out` hold all accepted conversations so far; `accepted` of them come from this version."""

    train: list[Conversation]
    held_out: list[Conversation]
    units: dict[str, str]
    claimed: int
    accepted: int
    rejected: int
    reasons: Counter[str]
    warnings: int

    @property
    def counts(self) -> dict[str, int]:
        """Whole numbers for manifest, store and page."""
        return {
            "claimed": self.claimed,
            "accepted": self.accepted,
            "rejected": self.rejected,
            "with_warnings": self.warnings,
            "from_earlier_versions": len(self.train) + len(self.held_out) - self.accepted,
            "train": len(self.train),
            "held_out": len(self.held_out),
            "units": len(set(self.units.values())),
        }

    @property
    def content_hash(self) -> str:
        """Equal for equal conversations on equal sides."""
        return datasets.content_hash(self.train, self.held_out)


def make_dataset(store: Store, claim: Claim, folder: Path, tokenizer: ChatTokenizer, max_tokens: int) -> Manifest:
    """The dataset folder of a version; one that was trained on stays as it is."""
    version = store.versions.get(claim.n)
    if version.state != "open" and folders.is_whole(folder):
        return datasets.read_manifest(folder)
    screened = screen_version(store, claim, tokenizer, max_tokens)
    if folders.is_whole(folder) and datasets.read_manifest(folder).dataset_hash != screened.content_hash:
        shutil.rmtree(folder)
    manifest = datasets.write(
        folder,
        screened.train,
        screened.held_out,
        version=version.n,
        base_fingerprint=version.base_fingerprint,
        parent=version.parent,
        units=screened.units,
        counts={**screened.counts, **{f"{REJECTED}{rule}": n for rule, n in sorted(screened.reasons.items())}},
        details={"rules_version": RULES_VERSION, "sides_salt": SALT},
    )
    counts = {**screened.counts, "reasons": dict(screened.reasons)}
    store.versions.set_dataset(claim, screened.content_hash, counts)
    return manifest


def rejections(manifest: Manifest) -> dict[str, int]:
    """Why conversations of the version were rejected, and how many, most first."""
    found = {key.removeprefix(REJECTED): n for key, n in manifest.counts.items() if key.startswith(REJECTED)}
    return dict(sorted(found.items(), key=lambda entry: (-entry[1], entry[0])))


def screen_version(store: Store, claim: Claim, tokenizer: ChatTokenizer, max_tokens: int) -> Screened:
    """Screen, place on a side, store both; doing it again decides the same."""
    new = [stored.conversation for stored in store.versions.rows(claim.n)]
    before = store.versions.accepted_before(claim.n)
    hashes_before = {exact_hash(stored.conversation): stored.side for stored in before}
    screening = screen(new, hashes_before.keys(), lambda c: token_count(c, tokenizer), max_tokens)
    accepted = [conversation for conversation in new if conversation.id in set(screening.accepted)]
    known = store.versions.unit_sides()
    users = store.conversations.users()
    everyone = [stored.conversation for stored in before] + accepted
    units = {conversation.id: unit_of(conversation, users, known) for conversation in everyone}
    sides = assign_sides(
        [(conversation.id, units[conversation.id]) for conversation in accepted],
        known,
        len(before),
        {conversation.id: exact_hash(conversation) for conversation in accepted},
        {text: side for text, side in hashes_before.items() if side},
    )
    store.versions.screen(claim, sides.sides, _findings(screening, sides), sides.units)
    # a side stored earlier wins over one decided now
    kept = before + [stored for stored in store.versions.rows(claim.n) if not stored.rejected]
    reasons = screening.reasons + Counter({"both_sides": len(sides.quarantined)})
    return _screened(len(new), len(before), kept, units, reasons, len(screening.warnings))


def _findings(screening: Screening, sides: Sides) -> dict[str, tuple[Finding, ...]]:
    quarantined = Finding(
        rule="both_sides",
        severity="error",
        where="conversation",
        message="Its text lies on the other side than its user or thread: it would leak between the sides",
    )
    return {
        **screening.warnings,
        **screening.rejected,
        **{id_: (*screening.warnings.get(id_, ()), quarantined) for id_ in sides.quarantined},
    }


def _screened(
    claimed: int,
    earlier: int,
    kept: Sequence[StoredConversation],
    units: dict[str, str],
    reasons: Counter[str],
    warnings: int,
) -> Screened:
    accepted = len(kept) - earlier
    return Screened(
        train=[stored.conversation for stored in kept if stored.side == "train"],
        held_out=[stored.conversation for stored in kept if stored.side == "held_out"],
        units={stored.conversation.id: units[stored.conversation.id] for stored in kept},
        claimed=claimed,
        accepted=accepted,
        rejected=claimed - accepted,
        reasons=+reasons,
        warnings=warnings,
    )
