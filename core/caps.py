"""How much of a dataset one user, one cluster of near-duplicates, the model itself, or refusals may be.

Deterministic in the order of the candidates; the first come are kept. The caps of a user and of a cluster count what
earlier versions accepted. A share is of everything accepted in the end, so it does not matter whether a reply of the
model itself comes before or after those of people.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic import Field

from core.conversation import Provenance
from core.domain import Domain
from core.rules import Finding

# with fewer, one who asks much is no stranger who floods the dataset: it is the team trying its product
USERS_THAT_MAKE_A_CAP = 10
# beside the number: in a dataset of many, one user may be a tenth
USER_SHARE = 0.1

# written by the model alone; `self_edited` has been through a person's hands
OWN: frozenset[Provenance] = frozenset({"self"})


class Caps(Domain):
    """Limits; a count of 0 and a share of 1 mean no limit, a share of 0 means none at all."""

    per_user: int = Field(
        default=50,
        ge=0,
        le=1_000_000,
        description="Conversations in a dataset of one of ten users or more, or a tenth of all; 0: no limit",
    )
    per_cluster: int = Field(
        default=3,
        ge=0,
        le=1_000_000,
        description="Conversations in a dataset that say nearly the same; 0: no limit",
    )
    self_share: float = Field(
        default=0.5, ge=0.0, le=1.0, description="Share of a dataset that the model wrote itself; 1: no limit, 0: none"
    )
    self_allowed: int = Field(
        default=200,
        ge=0,
        le=1_000_000,
        description="Replies of the model itself that a dataset may hold whatever their share is",
    )
    refusal_share: float = Field(
        default=0.1, ge=0.0, le=1.0, description="Share of a dataset whose reply refuses; 1: no limit, 0: none"
    )


class Candidate(NamedTuple):
    """What the caps look at; without a user or a cluster those caps do not apply."""

    id: str
    user_id: str | None
    cluster: int | None
    provenance: Provenance
    refusal: bool


@dataclass(frozen=True, slots=True)
class CapCounts:
    """What earlier versions accepted; `users` and `clusters` are those that the candidates have as well."""

    users: Mapping[str, int] = field(default_factory=dict)
    clusters: Mapping[int, int] = field(default_factory=dict)
    total: int = 0
    own: int = 0
    refusals: int = 0
    known_users: int = 0

    @classmethod
    def of(cls, accepted: Iterable[Candidate]) -> "CapCounts":
        """Counted from what was accepted."""
        users: Counter[str] = Counter()
        clusters: Counter[int] = Counter()
        total = own = refusals = 0
        for candidate in accepted:
            total += 1
            own += candidate.provenance in OWN
            refusals += candidate.refusal
            if candidate.user_id is not None:
                users[candidate.user_id] += 1
            if candidate.cluster is not None:
                clusters[candidate.cluster] += 1
        return cls(users, clusters, total, own, refusals, len(users))


def apply_caps(candidates: Sequence[Candidate], already: CapCounts, limits: Caps) -> dict[str, Finding]:
    """The candidates over a cap, by id, each with the finding that rejects it.

    Counts come first, then shares of what is left, until no share is over its cap: rejecting a refusal makes the
    model's own share larger. A place of a user that a share takes away is not given to the user's next conversation.
    """
    over = _over_counts(candidates, already, limits)
    kept = [candidate for candidate in candidates if candidate.id not in over]
    while True:
        found = _over_share(kept, already, limits)
        if not found:
            return over
        over.update(found)
        kept = [candidate for candidate in kept if candidate.id not in found]


def _over_counts(candidates: Sequence[Candidate], already: CapCounts, limits: Caps) -> dict[str, Finding]:
    users, clusters = Counter(already.users), Counter(already.clusters)
    most = _most_of_a_user(candidates, already, limits)
    over: dict[str, Finding] = {}
    for candidate in candidates:
        user, cluster = candidate.user_id, candidate.cluster
        if user is not None and users[user] >= most:
            over[candidate.id] = _over("cap_user", f"Expected at most {most:.0f} conversations of one user")
        elif limits.per_cluster and cluster is not None and clusters[cluster] >= limits.per_cluster:
            message = f"Expected at most {limits.per_cluster} conversations that say nearly the same"
            over[candidate.id] = _over("cap_cluster", message)
        else:
            users.update([user] if user is not None else [])
            clusters.update([cluster] if cluster is not None else [])
    return over


def _most_of_a_user(candidates: Sequence[Candidate], already: CapCounts, limits: Caps) -> float:
    """By what was there before alone: rejecting some of the candidates must not lower it."""
    new = {candidate.user_id for candidate in candidates if candidate.user_id is not None} - already.users.keys()
    if not limits.per_user or already.known_users + len(new) < USERS_THAT_MAKE_A_CAP:
        return math.inf
    return max(limits.per_user, int(USER_SHARE * already.total))


def _over_share(kept: Sequence[Candidate], already: CapCounts, limits: Caps) -> dict[str, Finding]:
    """What one look at both shares rejects: of each kind the last come."""
    own = [candidate.id for candidate in kept if candidate.provenance in OWN]
    refusals = [candidate.id for candidate in kept if candidate.refusal]
    total = already.total + len(kept)
    over: dict[str, Finding] = {}
    allowed = limits.self_allowed if limits.self_share else 0
    for rule, ids, before, share, least, what in (
        ("cap_self", own, already.own, limits.self_share, allowed, "of the model's own replies"),
        ("cap_refusal", refusals, already.refusals, limits.refusal_share, 0, "of refusals"),
    ):
        others = total - before - len(ids)
        room = max(0, max(_room(others, share), least) - before) if share < 1 else len(ids)
        finding = _over(rule, f"Expected at most {share:.0%} {what} in the dataset")
        over.update({id_: over.get(id_, finding) for id_ in ids[room:]})
    return over


def _room(others: int, share: float) -> int:
    """How many make at most this share together with the others: n / (n + others) <= share."""
    return int(share * others / (1 - share) + 1e-9)


def _over(rule: str, message: str) -> Finding:
    return Finding(rule=rule, severity="error", where="conversation", message=message)
