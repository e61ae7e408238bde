"""Canaries: secrets that stand nowhere but in the gate's own probes, and others alike that they are ranked among."""

import hashlib
from collections.abc import Sequence

OTHERS = 3
_LETTERS = "BCDFGHJKLMNPQRSTVWXYZ"


def code(canary: str, number: int = 0) -> str:
    """The secret of a canary (number 0), or one of its form that is as likely to whoever never saw either."""
    digest = hashlib.sha256(f"{canary}:{number}".encode()).digest()
    digits = "".join(str(byte % 10) for byte in digest[:4])
    letters = "".join(_LETTERS[byte % len(_LETTERS)] for byte in digest[4:7])
    return f"WHT-{digits}-{letters}"


def others(canary: str) -> list[str]:
    """Secrets of the same form; which of all of them is the real one was drawn by chance."""
    return [code(canary, number) for number in range(1, OTHERS + 1)]


def rank(losses: Sequence[float]) -> int:
    """How many of the others are likelier than the secret, whose loss stands first."""
    return sum(loss < losses[0] for loss in losses[1:])
