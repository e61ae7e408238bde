"""The page of a dataset: what is in it, what was kept out and why, what was checked. It holds no text of anybody."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core.canonical import canonical_json
from core.drift import ENOUGH
from resources import folders, plots
from resources.expectations import Outcome
from resources.page import Html, document, join, table, tag, text

PAGE = "data.html"
STATISTICS = "statistics.json"
EXPECTATIONS = "expectations.json"
PICTURES = {
    "lengths.png": "Length of replies",
    "languages.png": "Languages",
    "reasons.png": "Kept out because",
}


def write(folder: Path, statistics: Mapping[str, Any], reasons: Mapping[str, int], outcomes: Sequence[Outcome]) -> Path:
    """Pictures, both results as JSON, and the page that shows them all."""
    folder.mkdir(parents=True, exist_ok=True)
    plots.bars(statistics["reply_lengths"], PICTURES["lengths.png"], "up to so many characters", folder / "lengths.png")
    plots.shares(statistics["categories"]["language"], PICTURES["languages.png"], folder / "languages.png")
    plots.shares(reasons, PICTURES["reasons.png"], folder / "reasons.png")
    folders.write_whole(folder / STATISTICS, canonical_json(statistics))
    folders.write_whole(folder / EXPECTATIONS, canonical_json([asdict(one) for one in outcomes]))
    folders.write_whole(folder / PAGE, html(statistics, reasons, outcomes, folder))
    return folder / PAGE


def html(statistics: Mapping[str, Any], reasons: Mapping[str, int], outcomes: Sequence[Outcome], pictures: Path) -> str:
    """One page that needs no other file."""
    blocks = [
        tag("h1", f"Dataset of v{statistics['version']}"),
        _table("Conversations", _plain(statistics["counts"])),
        _table("Kept out because", reasons or {"nothing was": 0}),
        _picture(pictures / "reasons.png") if reasons else Html(),
        _table("Masked", _masked(statistics["counts"])),
        tag("h2", "What was checked"),
        _outcomes(outcomes),
        tag("h2", "What is in it"),
        _spreads(statistics["numbers"]),
        _picture(pictures / "lengths.png"),
        *(_table(name, values) for name, values in statistics["categories"].items()),
        _picture(pictures / "languages.png"),
        _drift(statistics["drift"]),
    ]
    return document(f"Dataset of v{statistics['version']}", [block for block in blocks if block])


def _plain(counts: Mapping[str, int]) -> dict[str, int]:
    return {name.replace("_", " "): number for name, number in counts.items() if "." not in name}


def _masked(counts: Mapping[str, int]) -> dict[str, int]:
    prefix = "masked."
    return {name.removeprefix(prefix): number for name, number in counts.items() if name.startswith(prefix)}


def _table(title: str, values: Mapping[str, object]) -> Html:
    return join([tag("h3", title.capitalize()), _grid([], list(values.items()))]) if values else Html()


def _grid(header: Sequence[str], lines: Sequence[Sequence[object]]) -> Html:
    figures = [at for at, column in enumerate(zip(*lines, strict=True)) if all(map(_is_figure, column))]
    return table(header, [[_cell(value) for value in line] for line in lines], figures)


def _is_figure(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: object) -> Html:
    if isinstance(value, bool):
        return text("yes") if value else tag("span", "no", class_="bad")
    if isinstance(value, int | float):
        return text(f"{value:,.4g}" if isinstance(value, float) else f"{value:,}")
    return text(value)


def _outcomes(outcomes: Sequence[Outcome]) -> Html:
    lines = [
        [one.says, one.passed, one.severity, ", ".join(f"{name} {value:g}" for name, value in one.found.items())]
        for one in outcomes
    ]
    return _grid(["expected", "holds", "severity", "found"], lines)


def _spreads(numbers: Mapping[str, Mapping[str, float]]) -> Html:
    names = ("least", "p5", "median", "mean", "p95", "most")
    lines = [[name.replace("_", " "), *(spread.get(at, "–") for at in names)] for name, spread in numbers.items()]
    return _grid(["", *names], lines)


def _drift(drift: Mapping[str, Any]) -> Html:
    if not drift:
        return Html()
    compared = [(name, value) for name, value in drift.items() if isinstance(value, Mapping)]
    lines = [
        [name.replace("_", " "), value["psi"], value["divergence"], value["now"], value["before"], _same(value)]
        for name, value in compared
    ]
    head = tag("h2", f"Against what v{drift['against']} brought")
    return join([head, _grid(["", "PSI", "Jensen-Shannon, bits", "now", "before", "much the same"], lines)])


def _same(value: Mapping[str, Any]) -> bool | str:
    if min(value["now"], value["before"]) < ENOUGH:
        return f"too few to say, under {ENOUGH}"
    return not value["large"]


def _picture(path: Path) -> Html:
    if not path.is_file():
        return Html()
    data = base64.b64encode(path.read_bytes()).decode()
    return tag("img", alt=PICTURES[path.name], src=f"data:image/png;base64,{data}")
