"""When each stage of one turn of the loop began, seen from outside through the HTTP API."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

# The order of one turn; a stage lasts from its own mark to the next mark that was set.
STAGES = {
    "acknowledged": "waiting for the sensor",
    "claimed": "dataset",
    "prepared": "start of the trainer",
    "training": "training",
    "evaluating": "evaluation and verdict",
    "registering": "registration in MLflow",
    "promoted": "alias to first reply by the new version",
    "answered": "",
}
# What the loop itself notes the time of.
EVENTS = {
    "run_started": "claimed",
    "trained": "evaluating",
    "verdict": "registering",
    "promoted": "promoted",
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
        """Take over what has no event: the dataset is there, the first step is done."""
        if version and "train" in version["counts"]:
            self.mark("prepared")
        if progress["state"] == "training" and progress.get("total_steps"):
            self.mark("training")

    def read_events(self, events: Iterable[dict[str, Any]], version: int) -> None:
        """Take over what the loop noted of this version; of what happened twice, the last time."""
        for event in sorted(events, key=lambda event: int(event["id"])):
            if event["version"] == version and event["type"] in EVENTS:
                self.marks[EVENTS[event["type"]]] = datetime.fromisoformat(event["timestamp"]).timestamp()

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
