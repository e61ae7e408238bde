"""Which side a conversation lies on: decided once by the hash of its unit, then stored, never moved."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal

from core.conversation import Conversation

Side = Literal["train", "validation", "held_out"]

SIDES: tuple[Side, ...] = ("train", "validation", "held_out")
SALT = "sides-v1"
VALIDATION_SALT = "validation-v1"
VALIDATION_SHARE = 0.10
USERS_THAT_MAKE_UNITS = 10


def held_out_share(rank: int) -> float:
    """30 % of the first 200 conversations, 15 % up to 1,000, 10 % beyond; ranks count from 0."""
    if rank < 200:
        return 0.30
    return 0.15 if rank < 1_000 else 0.10


def unit_of(conversation: Conversation, users: int, known: Mapping[str, Side] | None = None) -> str:
    """The user where the store knows ten or more, else the thread; a user once stored stays the unit."""
    known = known or {}
    thread, user = unit_names(conversation)
    if user is None or user in known:
        return user or thread
    return thread if thread in known or users < USERS_THAT_MAKE_UNITS else user


def unit_names(conversation: Conversation) -> tuple[str, str | None]:
    """The unit of its thread and the one of its user, if it has any."""
    thread = f"thread:{conversation.thread_id or conversation.id}"
    return thread, None if conversation.user_id is None else f"user:{conversation.user_id}"


def other_units(conversation: Conversation, unit: str, users: int) -> tuple[str, ...]:
    """What else must lie on its side: the thread of a user, whoever writes in it, and the user of a thread."""
    if users < USERS_THAT_MAKE_UNITS:
        return ()
    thread, user = unit_names(conversation)
    names = (thread if conversation.thread_id else None, user)
    return tuple(name for name in names if name and name != unit)


def side_of_new_unit(unit: str, rank: int, salt: str = SALT) -> Side:
    """The side of a unit whose first conversation has this rank; validation is carved from what is not held out."""
    if _fraction(unit, salt) < held_out_share(rank):
        return "held_out"
    return "validation" if _fraction(unit, VALIDATION_SALT) < VALIDATION_SHARE else "train"


class Placing:
    """Places conversations one after the other, so that nothing alike lies on two sides.

    `units` and `clusters` give the sides of those that hold accepted conversations already, `rank` says how many were
    accepted before. `new_units` are those of `units` that were placed for the first time.
    """

    def __init__(self, units: Mapping[str, Side], clusters: Mapping[int, Side], rank: int) -> None:
        self.rank = rank
        self.units, self.new_units = dict(units), dict[str, Side]()
        self._clusters = dict(clusters)

    def place(
        self, unit: str, clusters: Sequence[int] = (), stored: Side | None = None, others: Sequence[str] = ()
    ) -> Side | None:
        """The side of the next conversation; None where it would join two: it must be kept out.

        The first of `clusters` is the one it belongs to, the others are those it is near as well. `stored` is the side
        it was given by an attempt that came to nothing. `others` are units that go to the same side.
        """
        units = (unit, *others)
        found = {self._clusters[cluster] for cluster in clusters if cluster in self._clusters}
        found |= {self.units[name] for name in units if name in self.units} | ({stored} if stored else set())
        if len(found) > 1:
            return None
        side = found.pop() if found else side_of_new_unit(unit, self.rank)
        for name in units:
            if name not in self.units:
                self.new_units[name] = self.units[name] = side
        for own in clusters[:1]:
            self._clusters[own] = side
        self.rank += 1
        return side


def _fraction(unit: str, salt: str) -> float:
    digest = hashlib.sha256(f"{salt}:{unit}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
