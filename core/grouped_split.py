"""Shares of a whole by groups that stay together; the same groups always fall the same way."""

import hashlib
from collections.abc import Mapping, Sequence

SALT = "split-v1"


class Groups:
    """Union-find over whatever can be compared; a group is named by its smallest member."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def of(self, member: str) -> str:
        """The name of its group so far; a member that is new is a group of its own."""
        root = member
        while (parent := self._parents.setdefault(root, root)) != root:
            root = parent
        while (parent := self._parents[member]) != root:
            self._parents[member], member = root, parent
        return root

    def join(self, one: str, other: str) -> None:
        first, second = sorted((self.of(one), self.of(other)))
        self._parents[second] = first


def assign(sizes: Mapping[str, int], shares: Sequence[float], salt: str = SALT) -> dict[str, int]:
    """Group → index of its share. Groups lie end to end in the order of their hashes; the middle of each decides."""
    total = sum(sizes.values())
    bounds = [sum(shares[: index + 1]) / sum(shares) for index in range(len(shares))]
    last = max(index for index, share in enumerate(shares) if share > 0)
    placed: dict[str, int] = {}
    before = 0
    for name in sorted(sizes, key=lambda name: hashlib.sha256(f"{salt}:{name}".encode()).digest()):
        middle = (before + sizes[name] / 2) / total
        inside = (index for index, bound in enumerate(bounds) if shares[index] > 0 and middle < bound)
        placed[name] = next(inside, last)
        before += sizes[name]
    return placed
