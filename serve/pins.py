"""Which adapters must stay in the engine, and for whom."""

from collections.abc import Sequence
from typing import Literal

Holder = Literal["champion", "experiment", "previous", "pinned"]


class Pins:
    """The engine replaces its pins by those of every call, so that all who need some share one list.

    Most needed first: where the engine has too few places, one that is named later makes room for one named before.
    """

    def __init__(self) -> None:
        self._held: dict[Holder, tuple[str, ...]] = {
            "champion": (),
            "experiment": (),
            "previous": (),
            "pinned": (),
        }

    def hold(self, who: Holder, names: Sequence[str]) -> list[str]:
        """Replace what `who` needs; everything that must stay."""
        self._held[who] = tuple(names)
        return self.all()

    def all(self) -> list[str]:
        return list(dict.fromkeys(name for names in self._held.values() for name in names))
