"""Which conversations are held out: decided once by the hash of their unit, then stored, never moved."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from core.conversation import Conversation

Side = Literal["train", "held_out"]

SALT = "sides-v1"
USERS_THAT_MAKE_UNITS = 10


@dataclass(frozen=True)
class Sides:
    """`sides` by conversation id, `units` newly decided, `quarantined` ids that would have joined both sides."""

    sides: dict[str, Side]
    units: dict[str, Side]
    quarantined: tuple[str, ...]


def held_out_share(rank: int) -> float:
    """30 % of the first 200 conversations, 15 % up to 1,000, 10 % beyond; ranks count from 0."""
    if rank < 200:
        return 0.30
    return 0.15 if rank < 1_000 else 0.10


def unit_of(conversation: Conversation, users: int, known: Mapping[str, Side] | None = None) -> str:
    """The user where the store knows ten or more, else the thread; a unit once stored keeps its kind."""
    known = known or {}
    thread = f"thread:{conversation.thread_id or conversation.id}"
    if conversation.user_id is None or thread in known:
        return thread
    user = f"user:{conversation.user_id}"
    return user if user in known or users >= USERS_THAT_MAKE_UNITS else thread


def side_of_new_unit(unit: str, rank: int, salt: str = SALT) -> Side:
    """The side of a unit whose first conversation has this rank."""
    digest = hashlib.sha256(f"{salt}:{unit}".encode()).digest()
    return "held_out" if int.from_bytes(digest[:8], "big") / 2**64 < held_out_share(rank) else "train"


def assign_sides(
    units: Sequence[tuple[str, str]],
    already: Mapping[str, Side],
    seen_before: int,
    hashes: Mapping[str, str] | None = None,
    hash_sides: Mapping[str, Side] | None = None,
) -> Sides:
    """Place (conversation id, unit) pairs in their order; `seen_before` is the rank of the first.

    `hashes` gives the exact hash of each id and `hash_sides` the side of each hash already placed: a conversation
    whose text lies on the other side than its unit is quarantined, as it would leak from one to the other.
    """
    hashes, text_sides = hashes or {}, dict(hash_sides or {})
    sides: dict[str, Side] = {}
    new_units: dict[str, Side] = {}
    quarantined: list[str] = []
    for rank, (conversation_id, unit) in enumerate(units, start=seen_before):
        side = already.get(unit) or new_units.setdefault(unit, side_of_new_unit(unit, rank))
        text = hashes.get(conversation_id)
        if text is not None and text_sides.setdefault(text, side) != side:
            quarantined.append(conversation_id)
        else:
            sides[conversation_id] = side
    return Sides(sides=sides, units=new_units, quarantined=tuple(quarantined))
