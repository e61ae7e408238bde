"""Whether a conversation may be claimed by a version; decided once, at capture."""

from core.conversation import Conversation, Provenance
from core.domain import Domain

ADMITTED: frozenset[Provenance] = frozenset({"human", "teacher", "self_edited", "self"})


class Eligibility(Domain):
    eligible: bool
    reason: str | None = None


def decide(
    conversation: Conversation,
    *,
    hash_known: bool,
    positive_feedback: bool = False,
    personal_data: bool = False,
    admitted: frozenset[Provenance] = ADMITTED,
) -> Eligibility:
    """Eligible, or the first reason why not.

    In this order: incomplete, provenance, personal_data, own_reply_without_feedback, duplicate.
    `personal_data`: a number of somebody was masked in it, and no person has released it since.
    """
    reason = _first_obstacle(conversation, hash_known, positive_feedback, personal_data, admitted)
    return Eligibility(eligible=reason is None, reason=reason)


def _first_obstacle(
    conversation: Conversation,
    hash_known: bool,
    positive_feedback: bool,
    personal_data: bool,
    admitted: frozenset[Provenance],
) -> str | None:
    if not conversation.complete:
        return "incomplete"
    if conversation.provenance not in admitted:
        return "provenance"
    if personal_data:
        return "personal_data"
    if conversation.provenance == "self" and not positive_feedback:
        return "own_reply_without_feedback"
    return "duplicate" if hash_known else None
