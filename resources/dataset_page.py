"""The page of a dataset: what is in it, what was kept out and why, what was checked. It holds no text of anybody."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from core.canonical import canonical_json
from core.drift import ENOUGH
from resources import folders, plots
from resources.expectations import Outcome

PAGE = "data.html"
STATISTICS = "statistics.json"
EXPECTATIONS = "expectations.json"
PICTURES = {
    "lengths.png": "Length of replies",
    "languages.png": "Languages",
    "reasons.png": "Kept out because",
}

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;color:#22313f;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin:.5rem 0 1.5rem}
th,td{border-bottom:1px solid #e4eaf0;padding:.25rem .8rem;text-align:left}
td.n{text-align:right;font-variant-numeric:tabular-nums}.no{color:#d1662b;font-weight:bold}img{max-width:100%}"""


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
        f"<h1>Dataset of v{statistics['version']}</h1>",
        _table("Conversations", _plain(statistics["counts"])),
        _table("Kept out because", reasons or {"nothing was": 0}),
        _picture(pictures / "reasons.png") if reasons else "",
        _table("Masked", _masked(statistics["counts"])),
        "<h2>What was checked</h2>",
        _outcomes(outcomes),
        "<h2>What is in it</h2>",
        _spreads(statistics["numbers"]),
        _picture(pictures / "lengths.png"),
        *(_table(name, values) for name, values in statistics["categories"].items()),
        _picture(pictures / "languages.png"),
        _drift(statistics["drift"]),
    ]
    body = "\n".join(block for block in blocks if block)
    head = f'<meta charset="utf-8"><title>Dataset of v{statistics["version"]}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n'


def _plain(counts: Mapping[str, int]) -> dict[str, int]:
    return {name.replace("_", " "): number for name, number in counts.items() if "." not in name}


def _masked(counts: Mapping[str, int]) -> dict[str, int]:
    prefix = "masked."
    return {name.removeprefix(prefix): number for name, number in counts.items() if name.startswith(prefix)}


def _table(title: str, values: Mapping[str, object]) -> str:
    lines = "".join(f"<tr><td>{escape(str(name))}</td>{_cell(value)}</tr>" for name, value in values.items())
    return f"<h3>{escape(title.capitalize())}</h3><table>{lines}</table>" if values else ""


def _grid(header: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join(f"<tr>{''.join(_cell(value) for value in line)}</tr>" for line in lines)
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "<td>yes</td>" if value else '<td class="no">no</td>'
    if isinstance(value, int | float):
        return f'<td class="n">{value:,.4g}</td>' if isinstance(value, float) else f'<td class="n">{value:,}</td>'
    return f"<td>{escape(str(value))}</td>"


def _outcomes(outcomes: Sequence[Outcome]) -> str:
    lines = [
        [one.says, one.passed, one.severity, ", ".join(f"{name} {value:g}" for name, value in one.found.items())]
        for one in outcomes
    ]
    return _grid(["expected", "holds", "severity", "found"], lines)


def _spreads(numbers: Mapping[str, Mapping[str, float]]) -> str:
    names = ("least", "p5", "median", "mean", "p95", "most")
    lines = [[name.replace("_", " "), *(spread.get(at, "–") for at in names)] for name, spread in numbers.items()]
    return _grid(["", *names], lines)


def _drift(drift: Mapping[str, Any]) -> str:
    if not drift:
        return ""
    compared = [(name, value) for name, value in drift.items() if isinstance(value, Mapping)]
    lines = [
        [name.replace("_", " "), value["psi"], value["divergence"], value["now"], value["before"], _same(value)]
        for name, value in compared
    ]
    head = f"<h2>Against what v{drift['against']} brought</h2>"
    return head + _grid(["", "PSI", "Jensen-Shannon, bits", "now", "before", "much the same"], lines)


def _same(value: Mapping[str, Any]) -> bool | str:
    if min(value["now"], value["before"]) < ENOUGH:
        return f"too few to say, under {ENOUGH}"
    return not value["large"]


def _picture(path: Path) -> str:
    if not path.is_file():
        return ""
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{escape(PICTURES[path.name])}" src="data:image/png;base64,{data}">'
