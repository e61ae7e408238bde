"""What every bench prints and keeps: figure | ours | other | ratio | target."""

import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from os import cpu_count
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

RESULTS = Path("var/bench")


@dataclass(frozen=True)
class Target:
    """What a figure is held to: at most or at least a limit, on the ratio where `of_ratio`, else on our own figure."""

    at_most: float | None = None
    at_least: float | None = None
    of_ratio: bool = False

    def holds(self, value: float | None) -> bool:
        """Whether the value keeps the limits; a value that was not measured keeps none."""
        if value is None:
            return False
        return (self.at_most is None or value <= self.at_most) and (self.at_least is None or value >= self.at_least)

    def __str__(self) -> str:
        parts = [f"<= {self.at_most:g}"] if self.at_most is not None else []
        parts += [f">= {self.at_least:g}"] if self.at_least is not None else []
        return ("ratio " if self.of_ratio else "") + " and ".join(parts)


@dataclass(frozen=True)
class Figure:
    """One measured figure; `other` is what a user would pick instead, or the machine's limit."""

    name: str
    ours: float | None
    unit: str = ""
    other: float | None = None
    other_name: str = ""
    target: Target | None = None

    @property
    def ratio(self) -> float | None:
        return self.ours / self.other if self.ours is not None and self.other else None

    @property
    def holds(self) -> bool:
        if self.target is None:
            return True
        return self.target.holds(self.ratio if self.target.of_ratio else self.ours)


@dataclass(frozen=True)
class Report:
    """All figures of one bench, and what else is worth keeping beside them."""

    name: str
    figures: Sequence[Figure]
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        return all(figure.holds for figure in self.figures)

    def finish(self, folder: Path = RESULTS) -> int:
        """Print the table, write `<folder>/<name>.json`, and return the exit status: 0 when every target holds."""
        Console(width=120).print(table(self))
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        path.write_text(json.dumps(_document(self), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{'every target holds' if self.holds else 'a target falls short'}; kept in {path}")
        return 0 if self.holds else 1


def table(*reports: Report) -> Table:
    """The figures of one or more benches as one table."""
    shown = Table(box=box.ASCII, title=" and ".join(report.name for report in reports))
    for heading in ("figure", "ours", "other", "ratio", "target", ""):
        shown.add_column(heading, justify="right" if heading in ("ours", "other", "ratio") else "left")
    for figure in (figure for report in reports for figure in report.figures):
        other = (
            f"{_number(figure.other)} {figure.unit} {figure.other_name}".strip() if figure.other is not None else "-"
        )
        verdict = "" if figure.target is None else ("ok" if figure.holds else "SHORT")
        ours = f"{_number(figure.ours)} {figure.unit}".strip()
        shown.add_row(figure.name, ours, other, _number(figure.ratio), str(figure.target or "-"), verdict)
    return shown


def load(path: Path) -> Report:
    """A report as `finish` kept it."""
    kept = json.loads(path.read_text(encoding="utf-8"))
    figures = [
        Figure(
            name=figure["name"],
            ours=figure["ours"],
            unit=figure["unit"],
            other=figure["other"],
            other_name=figure["other_name"],
            target=Target(**figure["target"]) if figure["target"] else None,
        )
        for figure in kept["figures"]
    ]
    return Report(kept["name"], figures, kept["details"])


def _document(report: Report) -> dict[str, Any]:
    return {
        "name": report.name,
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {"cpus": cpu_count(), "platform": platform.platform(), "python": platform.python_version()},
        "holds": report.holds,
        "figures": [asdict(figure) | {"ratio": figure.ratio, "holds": figure.holds} for figure in report.figures],
        "details": report.details,
    }


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}"
