"""Which adapters must stay in the engine, and for whom."""

from collections.abc import Sequence


class Pins:
    """The engine replaces its pins by those of every call, so that all who need some share one list."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[str, ...]] = {}

    def hold(self, who: str, names: Sequence[str]) -> list[str]:
        """Replace what `who` needs; everything that must stay."""
        self._held[who] = tuple(names)
        return self.all()

    def all(self) -> list[str]:
        return list(dict.fromkeys(name for names in self._held.values() for name in names))
