"""Which arm a unit belongs to: by hash alone, so that it is sticky without a look-up."""

import hashlib
import math
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple


class Range(NamedTuple):
    """Buckets from `start` on and below `end`."""

    start: float
    end: float

    def __contains__(self, bucket: object) -> bool:
        return isinstance(bucket, float) and self.start <= bucket < self.end


def unit_of(user_id: str | None, session_id: str | None, conversation_id: str | None) -> str | None:
    """Who is assigned as one: the user, else the session, else the conversation; None when nobody is named."""
    named = (("user", user_id), ("session", session_id), ("conversation", conversation_id))
    return next((f"{kind}:{name}" for kind, name in named if name), None)


def bucket(salt: str, unit: str) -> float:
    """A number in [0, 1): the first 53 bits of SHA-256 over the UTF-8 of `salt:unit`, which a float holds exactly."""
    digest = hashlib.sha256(f"{salt}:{unit}".encode()).digest()
    return float((int.from_bytes(digest[:8], "big") >> 11) / 2**53)


def ranges(weights: Sequence[float], coverage: float = 1.0) -> tuple[Range, ...]:
    """One range an arm, half-open; more coverage lets each grow at its end, so that it moves nobody between arms."""
    total = math.fsum(weights)
    ends = [end / total for end in accumulate(weights)]
    ends[-1] = 1.0
    starts = [0.0, *ends[:-1]]
    return tuple(Range(start, _end(start, end, coverage)) for start, end in zip(starts, ends, strict=True))


def arm_of(salt: str, unit: str, weights: Sequence[float], coverage: float = 1.0) -> int | None:
    """The number of the unit's arm; None where the experiment does not cover it (yet)."""
    where = bucket(salt, unit)
    return next((number for number, span in enumerate(ranges(weights, coverage)) if where in span), None)


def _end(start: float, end: float, coverage: float) -> float:
    return end if coverage >= 1.0 else min(end, start + coverage * (end - start))
