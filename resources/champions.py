"""Who answers as `production`: one row a lineage."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Champion:
    """`n` is None while the base answers; `seq` grows with every move; `served` is what the engine last took over."""

    n: int | None
    previous: int | None
    seq: int
    alias_confirmed: int | None
    served: int | None
    changed_at: datetime | None


class Champions:
    def get(self) -> Champion:
        raise NotImplementedError

    def move(self, n: int | None, reason: str, by: str, *, override: bool = False) -> Champion:
        """Make n (None: the base) the champion; NotAllowed if it did not pass its gate, unless overridden."""
        raise NotImplementedError

    def confirm_alias(self, n: int | None) -> None:
        """Note that the registry's alias now says n."""
        raise NotImplementedError

    def mark_served(self, n: int | None, seconds: float) -> None:
        """Note that the engine answers with n, `seconds` after it saw the move."""
        raise NotImplementedError
