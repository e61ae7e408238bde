"""The pictures of a report, drawn without a display."""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from core.gate import Check, Evaluation, PairedLoss
from core.verdict import reference_name, reference_of
from resources.progress import Progress

BETTER = "#1b7f79"
WORSE = "#d1662b"
INK = "#22313f"
FAINT = "#9fb3c8"
DPI = 110
MOST_SHARES = 12
KOREAN_FONTS = ("Noto Sans CJK KR", "Noto Sans KR", "NanumGothic", "Malgun Gothic", "UnDotum", "Baekmuk Gulim")


def loss_curve(curve: Sequence[Progress], path: Path) -> Path:
    """Training loss of every step, and its running mean."""
    points = [(report.step, report.loss) for report in curve if report.loss is not None and math.isfinite(report.loss)]
    figure, axes = _figure(7.2, 3.4)
    if points:
        steps, losses = [step for step, _ in points], [loss for _, loss in points]
        smooth = running_mean(losses)
        axes.plot(steps, losses, color=FAINT, linewidth=1, label="each step")
        axes.plot(steps, smooth, color=BETTER, linewidth=2.2, label="running mean")
        axes.annotate(
            f"{smooth[-1]:.2f}", (steps[-1], smooth[-1]), xytext=(6, 0), textcoords="offset points", va="center",
            color=BETTER, fontweight="bold",
        )  # fmt: skip
        axes.set_xlim(left=min(steps), right=max(steps) + max(1, 0.06 * len(steps)))
        axes.legend(frameon=False, loc="upper right")
    _label(axes, "Training loss", "optimiser step", "loss (nats per reply token)")
    return _save(figure, path)


def differences(evaluation: Evaluation, checks: Sequence[Check], path: Path) -> Path:
    """Each conversation's change of loss against what serves now, sorted, for held-out and general set."""
    figure, (left, right) = _figure(10.4, 3.9, columns=2)
    by_name = {check.name: check for check in checks}
    reference = reference_name(evaluation.champion)
    for axes, title, pairs, check in (
        (left, "Held-out conversations", evaluation.held_out, by_name.get("held_out_loss_vs_champion")),
        (right, "General set", evaluation.general, by_name.get("general_non_inferiority")),
    ):
        found = changes(pairs, evaluation.champion)
        _bars(axes, found, check)
        y = f"loss of v{evaluation.version} − {reference} (nats/token)"
        _label(axes, f"{title}: {counted(found)}", "conversations, sorted by change", y)
    return _save(figure, path)


def bars(counts: Mapping[str, int], title: str, x: str, path: Path) -> Path:
    """A bar for each, upright and in the order given."""
    figure, axes = _figure(7.2, 3.2)
    axes.bar(range(len(counts)), list(counts.values()), color=BETTER, width=0.9)
    _label(axes, title, x, "conversations")
    axes.set_xticks(range(len(counts)), [_drawable(name) for name in counts])
    return _save(figure, path)


def shares(counts: Mapping[str, int], title: str, path: Path) -> Path:
    """A bar for each, lying, with its number and share of all; the first few."""
    shown = list(counts.items())[:MOST_SHARES][::-1]
    total = sum(counts.values())
    figure, axes = _figure(7.2, 0.9 + 0.34 * max(1, len(shown)))
    axes.barh(range(len(shown)), [number for _, number in shown], color=BETTER, height=0.7)
    for place, (_, number) in enumerate(shown):
        axes.annotate(
            f"{number:,}  {number / total:.0%}", (number, place), xytext=(4, 0), textcoords="offset points",
            va="center", color=INK, fontsize=9,
        )  # fmt: skip
    _label(axes, title if shown else f"{title}: none", "conversations", "")
    axes.set_yticks(range(len(shown)), [_drawable(name).replace("_", " ") for name, _ in shown])
    axes.margins(x=0.18)
    return _save(figure, path)


def _drawable(name: str) -> str:
    """A name that the fonts at hand can draw: Korean as it is where one of them has it, else its code points."""
    if name.isascii() or _draws_korean():
        return _without_markup(name)
    return name.encode("ascii", "backslashreplace").decode()


@cache
def _draws_korean() -> bool:
    from matplotlib import font_manager, rcParams

    known = {font.name for font in font_manager.fontManager.ttflist}
    found = [name for name in KOREAN_FONTS if name in known]
    rcParams["font.sans-serif"] = [*found, *rcParams["font.sans-serif"]] if found else rcParams["font.sans-serif"]
    return bool(found)


def _without_markup(name: str) -> str:
    """A dollar sign begins a formula otherwise."""
    return name.replace("$", r"\$")


def changes(pairs: Sequence[PairedLoss], champion: int | None) -> list[float]:
    """Candidate minus reference, sorted, without what could not be measured."""
    found = [pair.candidate - reference for pair in pairs if (reference := reference_of(pair, champion)) is not None]
    return sorted(change for change in found if math.isfinite(change))


def _bars(axes: Any, values: Sequence[float], check: Check | None) -> None:
    colours = [BETTER if value < 0 else WORSE for value in values]
    axes.bar(range(1, len(values) + 1), values, width=1.0, color=colours, linewidth=0)
    axes.axhline(0, color=INK, linewidth=0.8)
    if check is None or check.estimate is None or check.lower is None or check.upper is None:
        return
    axes.axhspan(check.lower, check.upper, color=INK, alpha=0.15, linewidth=0, zorder=3)
    mean = f"mean {check.estimate:+.3f} ({check.lower:+.3f} to {check.upper:+.3f})"
    axes.axhline(check.estimate, color=INK, linewidth=1.6, linestyle="--", zorder=4, label=mean)
    if check.name == "general_non_inferiority" and check.threshold is not None:
        axes.axhline(
            check.threshold, color=INK, linewidth=1.4, linestyle=":", zorder=4,
            label=f"most that may be lost {check.threshold:+.3f}",
        )  # fmt: skip
    # sorted bars leave the corner empty that lies away from most of them
    axes.legend(frameon=False, loc="lower right" if check.estimate < 0 else "upper left", fontsize=8.5)


def counted(values: Sequence[float]) -> str:
    """How many changes are improvements."""
    better = sum(value < 0 for value in values)
    return f"{better} better, {len(values) - better} not" if values else "nothing measured"


def running_mean(values: Sequence[float]) -> list[float]:
    """Exponential, over about a twentieth of the run, so that short and long runs look alike."""
    keep = 1.0 - 1.0 / max(3.0, len(values) / 20.0)
    smooth, total, weight = [], 0.0, 0.0
    for value in values:
        total, weight = keep * total + value, keep * weight + 1.0
        smooth.append(total / weight)
    return smooth


def _figure(width: float, height: float, columns: int = 1) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, columns)


def _label(axes: Any, title: str, x: str, y: str) -> None:
    axes.set_title(title, loc="left", color=INK, fontweight="bold", fontsize=11)
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.grid(axis="y", color="#e4eaf0", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.get_major_locator().set_params(integer=True)


def _save(figure: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_name(f"{path.name}.tmp")
    figure.savefig(staging, format="png", metadata={"Software": None})
    return staging.replace(path)
