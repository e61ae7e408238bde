"""The demo's last page: what one turn of the loop changed, and what it cost."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table

from core.verdict import Check, Evaluation, PairedLoss, Verdict
from deploy.background import Seen
from deploy.client import Answer

# Lines of plain ASCII: box-drawing characters are two cells wide in many Korean terminals and break the columns.
FRAME = box.ASCII


@dataclass(frozen=True)
class Counted:
    """What became of the conversations; `rejected` counts reasons at capture and findings of the screening alike."""

    captured: int
    eligible: int
    rejected: Counter[str]
    trained: int
    held_out: int

    @classmethod
    def of(cls, rows: Iterable[dict[str, Any]], version: int) -> "Counted":
        """Counted from the rows of `GET /mlops/conversations`."""
        captured = eligible = trained = held_out = 0
        rejected: Counter[str] = Counter()
        for row in rows:
            captured += 1
            eligible += bool(row["eligible"])
            if not row["eligible"]:
                rejected[str(row["reason"])] += 1
            elif row.get("version") in (version, f"v{version}"):
                trained += row.get("side") == "train"
                held_out += row.get("side") == "held_out"
                rejected.update({finding["rule"] for finding in _errors(row)} if row.get("side") is None else ())
        return cls(captured, eligible, rejected, trained, held_out)


@dataclass(frozen=True)
class Turn:
    """Everything the last page says."""

    version: int
    questions: Sequence[tuple[str, Answer, Answer]]
    evaluation: Evaluation
    verdict: Verdict
    counted: Counted
    stages: Sequence[tuple[str, float]]
    loop_seconds: float | None
    seen: Seen
    urls: Sequence[tuple[str, str]]


def page(turn: Turn) -> RenderableType:
    """All tables, in the order a reader wants them."""
    return Group(_answers(turn), _gate(turn), _conversations(turn), _seconds(turn), _pages(turn))


def _answers(turn: Turn) -> Table:
    table = Table(box=FRAME, title="The same five questions", show_lines=True, expand=True)
    before, after = (turn.questions[0][i].model for i in (1, 2)) if turn.questions else ("before", "after")
    table.add_column("question", ratio=2)
    table.add_column(f"before ({before})", ratio=4)
    table.add_column(f"after ({after})", ratio=4)
    for question, old, new in turn.questions:
        table.add_row(question, old.text, new.text)
    return table


def _gate(turn: Turn) -> Table:
    table = _facts("The gate")
    table.add_row("verdict", "promoted" if turn.verdict.promoted else "rejected")
    for label, pairs, name in (
        ("held-out loss", turn.evaluation.held_out, "held_out_loss_vs_base"),
        ("general set loss", turn.evaluation.general, "general_non_inferiority"),
    ):
        table.add_row(label, _losses(turn, pairs, _check(turn.verdict, name)))
    passed = (f"{check.name} {'passed' if check.passed else 'FAILED'}" for check in turn.verdict.checks)
    table.add_row("checks", ", ".join(passed))
    for reason in turn.verdict.reasons:
        table.add_row("reason", reason)
    return table


def _losses(turn: Turn, pairs: Sequence[PairedLoss], check: Check | None) -> str:
    """Mean over conversations of base and candidate, and the interval of the change as the gate found it."""
    if not pairs:
        return "nothing was scored"
    base, candidate = fmean(pair.base for pair in pairs), fmean(pair.candidate for pair in pairs)
    interval = ""
    if check and check.lower is not None and check.upper is not None:
        share = 1 - 2 * turn.verdict.thresholds.alpha  # the gate's bounds are one-sided
        interval = f", {share:.0%} interval {check.lower:+.3f} to {check.upper:+.3f}"
    return f"base {base:.3f} | v{turn.version} {candidate:.3f}: {candidate - base:+.3f}{interval} (n {len(pairs)})"


def _check(verdict: Verdict, name: str) -> Check | None:
    return next((check for check in verdict.checks if check.name == name), None)


def _conversations(turn: Turn) -> Table:
    counted = turn.counted
    table = _facts("Conversations")
    table.add_row("captured", f"{counted.captured:,}")
    table.add_row("eligible", f"{counted.eligible:,}")
    reasons = ", ".join(f"{reason} {n:,}" for reason, n in counted.rejected.most_common())
    table.add_row("rejected", f"{counted.rejected.total():,}" + (f" ({reasons})" if reasons else ""))
    table.add_row("trained | held out", f"{counted.trained:,} | {counted.held_out:,}")
    return table


def _seconds(turn: Turn) -> Table:
    table = _facts("Seconds")
    for stage, seconds in turn.stages:
        table.add_row(stage, f"{seconds:.1f}")
    if turn.loop_seconds is not None:
        table.add_row("import acknowledged to first reply by the new version", f"{turn.loop_seconds:.1f}")
    seen = turn.seen
    by_model = ", ".join(f"{model} {n}" for model, n in seen.by_model.items())
    table.add_row("chats sent meanwhile", f"{seen.sent} (by {by_model}), slowest {seen.slowest:.1f} s")
    table.add_row("of these failed", str(len(seen.failures)))
    return table


def _pages(turn: Turn) -> Table:
    table = _facts("Pages")
    for name, url in turn.urls:
        table.add_row(name, url)
    return table


def _facts(title: str) -> Table:
    table = Table(box=FRAME, title=title, show_header=False, expand=True)
    table.add_column(ratio=2)
    table.add_column(ratio=8, overflow="fold")
    return table


def _errors(row: dict[str, Any]) -> list[dict[str, Any]]:
    return [finding for finding in row.get("findings") or [] if finding.get("severity") == "error"]
