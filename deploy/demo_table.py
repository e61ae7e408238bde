"""The demo's last page: what one turn of the loop changed, and what it cost."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table

from core.reason_codes import sentence
from core.verdict import Check, Evaluation, PairedLoss, Verdict
from deploy.background import Seen
from deploy.client import Answer

# Lines of plain ASCII: box-drawing characters are two cells wide in many Korean terminals and break the columns.
FRAME = box.ASCII


@dataclass(frozen=True)
class Counted:
    """What became of the conversations: `left_out` at capture, by reason; `screened_out` of the version, by rule."""

    imported: int
    chats: int
    eligible: int
    left_out: Counter[str]
    screened_out: Counter[str]
    trained: int
    held_out: int

    @classmethod
    def of(cls, rows: Iterable[dict[str, Any]], version: int) -> "Counted":
        """Counted from the rows of `GET /mlops/conversations`."""
        sources: Counter[bool] = Counter()
        sides: Counter[str | None] = Counter()
        left_out: Counter[str] = Counter()
        screened_out: Counter[str] = Counter()
        for row in rows:
            sources[row["source"] == "import"] += 1
            if not row["eligible"]:
                left_out[row["reason"]] += 1
            elif row["version"] == version:
                sides[row["side"]] += 1
                screened_out.update({found["rule"] for found in row["findings"] if found["severity"] == "error"})
        eligible = sources.total() - left_out.total()
        return cls(sources[True], sources[False], eligible, left_out, screened_out, sides["train"], sides["held_out"])


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
    parts = (_answers, _gate, _conversations, _reasons, _seconds, _chats, _pages)
    return Group(*(part(turn) for part in parts))


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
    captured = counted.imported + counted.chats
    table.add_row("captured", f"{captured:,} ({counted.imported:,} imported, {counted.chats:,} chats of this demo)")
    table.add_row("eligible", f"{counted.eligible:,}")
    table.add_row("not eligible | rejected", f"{counted.left_out.total():,} | {counted.screened_out.total():,}")
    table.add_row("trained on | held out", f"{counted.trained:,} | {counted.held_out:,}")
    return table


def _reasons(turn: Turn) -> Table:
    """Why conversations were left out, most first; one can be rejected for several reasons."""
    counted = turn.counted
    table = Table(box=FRAME, title="Why conversations were left out", expand=True)
    table.add_column("reason", overflow="fold")
    table.add_column("what it means", ratio=1)
    table.add_column("at capture", justify="right")
    table.add_column("by screening", justify="right")
    for reason, _ in (counted.left_out + counted.screened_out).most_common():
        times = (f"{found[reason]:,}" if found[reason] else "" for found in (counted.left_out, counted.screened_out))
        table.add_row(reason, sentence(reason), *times)
    return table


def _seconds(turn: Turn) -> Table:
    table = Table(box=FRAME, title="Seconds", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for stage, seconds in turn.stages:
        table.add_row(stage, f"{seconds:.1f}")
    if turn.loop_seconds is not None:
        table.add_section()
        table.add_row("the loop: import acknowledged to first reply by the new version", f"{turn.loop_seconds:.1f}")
    return table


def _chats(turn: Turn) -> Table:
    seen = turn.seen
    table = _facts("Chats sent meanwhile")
    table.add_row(
        "sent", f"{seen.sent} ({', '.join(f'{n} answered by {model}' for model, n in seen.by_model.items())})"
    )
    table.add_row("failed", str(len(seen.failures)))
    table.add_row("slowest", f"{seen.slowest:.1f} s")
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
