"""The captured conversations: written once, found again, taken out on request."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from core.conversation import Conversation
from core.rules import Finding
from core.sides import Side
from resources.feedback import Feedback, FeedbackSaved

Item = TypeVar("Item")


@dataclass(frozen=True)
class Captured:
    """What became of one conversation: `collected` when its row is in the store, new or not."""

    id: str
    collected: bool
    duplicate_id: bool
    eligible: bool
    reason: str | None


@dataclass(frozen=True)
class StoredConversation:
    """A conversation with what stands beside it; `rating` and `thumb` are the latest feedback."""

    conversation: Conversation
    seq: int
    eligible: bool
    reason: str | None
    version: int | None
    side: Side | None
    findings: tuple[Finding, ...]
    rating: int | None
    thumb: int | None

    @property
    def rejected(self) -> bool:
        """Whether screening keeps it out of the dataset."""
        return any(finding.severity == "error" for finding in self.findings)


@dataclass(frozen=True)
class Page(Generic[Item]):
    items: list[Item]
    page: int
    page_size: int
    total: int


@dataclass(frozen=True)
class Counts:
    """`total` + `filtered_out` = `rows`; filtered out are duplicates and what screening rejected."""

    rows: int
    total: int
    filtered_out: int
    eligible: int
    waiting: int
    in_versions: int
    incomplete: int


@dataclass(frozen=True)
class Cleared:
    deleted: int
    backup: Path | None


@dataclass(frozen=True)
class Erased:
    """`versions` are all that were trained, or may have been, with what is erased."""

    deleted: int
    versions: tuple[int, ...]


class Conversations:
    def capture(self, batch: Sequence[Conversation]) -> list[Captured]:
        """Store all in one transaction, answers in their order; idempotent by id, a complete one completes its id."""
        raise NotImplementedError

    def get(self, id: str) -> StoredConversation | None:
        raise NotImplementedError

    def page(
        self,
        page: int = 1,
        page_size: int = 50,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        source: str | None = None,
        eligible: bool | None = None,
        version: int | None = None,
    ) -> Page[StoredConversation]:
        """Newest first, pages from 1."""
        raise NotImplementedError

    def feedback(self, feedback: Feedback) -> FeedbackSaved:
        """Store it beside its conversation, which may become eligible by it; NotFound for an unknown id."""
        raise NotImplementedError

    def counts(self) -> Counts:
        raise NotImplementedError

    def waiting(self) -> int:
        """Eligible conversations in no version: cheaper than `counts`."""
        raise NotImplementedError

    def users(self) -> int:
        """How many different users the store knows."""
        raise NotImplementedError

    def clear_waiting(self, backup: Path | None) -> Cleared:
        """Delete what is in no version; `backup` is a JSONL file, complete before anything is deleted."""
        raise NotImplementedError

    def erase_user(self, user_id: str) -> Erased:
        """Delete everything of a user, feedback and corrections included."""
        raise NotImplementedError
