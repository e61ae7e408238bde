"""The report of a version: one Markdown page with its pictures beside it."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.gate import Check, Evaluation, PairedLoss, Verdict
from core.verdict import reference_of
from resources import folders, plots
from resources.evaluations import Again
from resources.progress import Progress

PAGE = "report.md"
LOSS_CURVE = "loss_curve.png"
DIFFERENCES = "differences.png"
EVALUATION = "evaluation.json"
VERDICT = "verdict.json"
MAX_INLINE_BYTES = 200_000
MODELS = ("base", "champion", "candidate")


@dataclass(frozen=True)
class Made:
    """How a version came about; `recipe` is empty where nobody kept it, `origins` counts its data by provenance."""

    n: int
    recipe: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    origins: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Story:
    """All a report tells of; `reasons` counts why conversations were rejected, `facts` are what identifies the run.

    `made` says how the version came about, `before` the same of the champion it was compared with, `state` what became
    of it, `override` why a person overruled the gate; `again` are later evaluations, newest first.
    """

    evaluation: Evaluation
    verdict: Verdict
    curve: Sequence[Progress] = ()
    counts: Mapping[str, Any] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    made: Made | None = None
    before: Made | None = None
    state: str = "trained"
    override: str | None = None
    again: Sequence[Again] = ()


def read_evaluation(folder: Path) -> Evaluation:
    """What the trainer measured; ValueError when it is missing or does not read."""
    path = folder / EVALUATION
    try:
        return Evaluation.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ValueError(
            f"Expected the evaluation at {path}, found none: materialise evaluation_report again"
        ) from None


def write(folder: Path, story: Story) -> Path:
    """Keep the verdict and draw the pictures, then write the page; the page is complete or not there."""
    folder.mkdir(parents=True, exist_ok=True)
    folders.write_whole(folder / VERDICT, story.verdict.model_dump_json(indent=1))
    plots.loss_curve(story.curve, folder / LOSS_CURVE)
    plots.differences(story.evaluation, story.verdict.checks, folder / DIFFERENCES)
    folders.write_whole(folder / PAGE, markdown(story))
    return folder / PAGE


def markdown(story: Story) -> str:
    """The page; pictures are named as files beside it."""
    blocks = [
        _head(story),
        _losses(story.evaluation),
        "## What the gate asked",
        _checks(story.verdict.checks),
        "## Answers side by side",
        _answers(story.evaluation),
        "## Change of each conversation",
        f"![Change of loss per conversation]({DIFFERENCES})",
        "## Training",
        f"![Training loss]({LOSS_CURVE})",
        _pairs(story.training),
        "## Data",
        _pairs(story.counts),
        _reasons(story.reasons),
        "## Where it comes from",
        _pairs(story.facts),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def with_pictures(page: Path) -> str:
    """The page with its pictures inside, for where no files can be shown; too large a picture stays a name."""
    named = re.compile(r"!\[([^]]*)]\(([\w.-]+\.png)\)")
    return named.sub(lambda found: picture(page.parent / found[2], found[1]), page.read_text(encoding="utf-8"))


def picture(path: Path, title: str) -> str:
    """One picture as Markdown that needs no file."""
    data = path.read_bytes() if path.is_file() else b""
    if not data or len(data) > MAX_INLINE_BYTES:
        return f"*{title}: {path.name}*"
    return f"![{title}](data:image/png;base64,{base64.b64encode(data).decode()})"


def table(header: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    """A Markdown table; text cannot break out of its cell."""
    rule = ["---"] * len(header)
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in (header, rule, *lines))


def listed(reasons: Sequence[str]) -> str:
    """Sentences as a Markdown list."""
    return "\n".join(f"- {_sentence(reason)}" for reason in reasons)


def mean_losses(pairs: Sequence[PairedLoss]) -> dict[str, float]:
    """Mean loss by model, of those that were measured."""
    found = {model: [loss for pair in pairs if (loss := getattr(pair, model)) is not None] for model in MODELS}
    return {model: sum(values) / len(values) for model, values in found.items() if values}


def _head(story: Story) -> str:
    said = "promoted" if story.verdict.promoted else "rejected"
    return f"# v{story.evaluation.version}: {said}\n\n{listed(story.verdict.reasons)}"


def _losses(evaluation: Evaluation) -> str:
    """Mean loss by model; lower is better."""
    header = ["mean loss, nats per reply token", "n", *MODELS[:-1], f"v{evaluation.version}"]
    lines = []
    for name, pairs in (("held out", evaluation.held_out), ("general set", evaluation.general)):
        means = mean_losses(pairs)
        lines.append([name, len(pairs), *(f"{means[model]:.3f}" if model in means else "–" for model in MODELS)])
    return table(header, lines)


def _checks(checks: Sequence[Check]) -> str:
    header = ["check", "passed", "n", "estimate", "interval", "limit", "p", "power", "in words"]
    return table(header, [_check(check) for check in checks])


def _answers(evaluation: Evaluation) -> str:
    """To a few of the gate's own questions, under what serves now and under the candidate."""
    before = "base" if evaluation.champion is None else f"v{evaluation.champion}"
    header = ["question", before, f"v{evaluation.version}"]
    lines = [[one.question, reference_of(one, evaluation.champion) or "", one.candidate] for one in evaluation.shown]
    return table(header, lines) if lines else "Nothing was asked."


def _check(check: Check) -> list[object]:
    n = f"{check.n}" if check.clusters is None else f"{check.n} in {check.clusters} clusters"
    interval = "–" if check.lower is None or check.upper is None else f"{check.lower:+.3f} to {check.upper:+.3f}"
    power = "–" if check.power is None else f"{check.power:.0%} for {check.effect or 0.0:g}"
    passed = "yes" if check.passed else "**no**"
    count = check.statistic == "count"
    estimate, limit = _number(check.estimate, count), _number(check.threshold, count)
    chance = "–"
    if check.p_value is not None:
        limit, chance = f"p ≤ {check.threshold:g}", f"{check.p_value:.4f}" if check.p_value >= 1e-4 else "< 0.0001"
    return [check.name, passed, n, estimate, interval, limit, chance, power, _sentence(check.sentence)]


def _number(value: float | None, count: bool) -> str:
    return "–" if value is None else f"{value:g}" if count else f"{value:+.3f}"


def _pairs(values: Mapping[str, Any]) -> str:
    lines = [[key.replace("_", " "), _shown(value)] for key, value in values.items() if value is not None]
    return table(["", ""], lines) if lines else ""


def _reasons(reasons: Mapping[str, int]) -> str:
    ordered = sorted(reasons.items(), key=lambda entry: (-entry[1], entry[0]))
    return table(["rejected because", "conversations"], ordered) if ordered else ""


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _cell(value: object) -> str:
    return " ".join(str(value).replace("|", "\\|").split())


def _sentence(text: str) -> str:
    """With a capital, unless it begins with the name of a version."""
    first = text[:1] if re.match(r"v\d", text) else text[:1].upper()
    return first + text[1:] + ("" if text.endswith(".") else ".")
