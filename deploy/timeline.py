"""When each stage of one turn of the loop began, seen from outside through the HTTP API."""

import time
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

# The order of one turn; a stage lasts from its own mark to the next mark that was set.
STAGES = {
    "acknowledged": "trigger wait (import acknowledged, until the run claims)",
    "claimed": "dataset (screening, sides, files)",
    "training": "training",
    "evaluating": "evaluation and verdict",
    "registering": "registration in MLflow",
    "promoted": "alias to first reply by the new version",
    "answered": "",
}


@dataclass
class Timeline:
    """Marks in wall clock seconds; a mark is set once and its first setting counts."""

    marks: dict[str, float] = field(default_factory=dict)

    def mark(self, name: str, at: float | None = None) -> None:
        """Set a mark of STAGES, now or at the time given."""
        if name not in STAGES:
            raise ValueError(f"expected one of {list(STAGES)}, found {name!r}")
        self.marks.setdefault(name, time.time() if at is None else at)

    def read(self, progress: dict[str, Any], version: dict[str, Any] | None) -> None:
        """Take over what the API says right now."""
        if version and version.get("started_at"):
            self.mark("claimed", _seconds(version["started_at"]))
        if progress["state"] == "training" and (progress.get("total_steps") or 0) > 0:
            self.mark("training")
        if progress["state"] in ("evaluating", "registering"):
            self.mark(progress["state"])
        if version and version.get("state") in ("promoted", "rejected") and version.get("finished_at"):
            self.mark("promoted", _seconds(version["finished_at"]))

    def stages(self) -> list[tuple[str, str, float]]:
        """(mark, what it is, seconds) of each stage that began and ended."""
        names = [name for name in STAGES if name in self.marks]
        return [
            (name, STAGES[name], max(0.0, self.marks[following] - self.marks[name]))
            for name, following in pairwise(names)
        ]

    def total(self) -> float | None:
        """Seconds from the acknowledged import to the new version's first reply."""
        if "acknowledged" in self.marks and "answered" in self.marks:
            return self.marks["answered"] - self.marks["acknowledged"]
        return None


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()
