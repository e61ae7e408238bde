"""What the gate asked and what training did, as sections of a page."""

from collections.abc import Sequence
from typing import Any

from core.verdict import Check, reference_name
from resources.change_bars import change_bars
from resources.forest_plot import forest
from resources.line_chart import Curve, Point, line_chart
from resources.page import Html, facts, join, tag
from resources.plots import changes, running_mean
from resources.progress import Progress
from resources.report import Story

_RULE = "Every required check must pass, and one that asks for better."


def gate_section(story: Story, rule: str = _RULE) -> Html:
    """Each check drawn; nothing where none was asked."""
    verdict = story.verdict
    if not verdict.checks:
        return Html()
    how = (
        f"{rule} Points are estimates, bars their intervals (each end one-sided, {1 - verdict.thresholds.alpha:.0%}); "
        "better lies on the right. A bar must not reach into the shaded side."
    )
    return join([tag("p", how, class_="small"), forest(verdict.checks, verdict.thresholds)])


def change_section(story: Story) -> Html:
    """Each conversation's change of loss, of those held out and of the general set."""
    by_name = {check.name: check for check in story.verdict.checks}
    reference = reference_name(story.evaluation.champion)
    sides = (
        ("Held-out conversations", story.evaluation.held_out, "held_out_loss_vs_champion"),
        ("General set", story.evaluation.general, "general_non_inferiority"),
    )
    drawn = [_bars(story, title, pairs, by_name.get(name)) for title, pairs, name in sides if pairs]
    if not drawn:
        return Html()
    now = f"v{story.evaluation.version}"
    how = f"Loss with {now} minus loss with {reference}, sorted, in nats a token: below zero is better."
    return join([tag("p", how, class_="small"), tag("div", *drawn, class_="pair")])


def _bars(story: Story, title: str, pairs: Sequence[Any], check: Check | None) -> Html:
    return change_bars(title, changes(pairs, story.evaluation.champion), check)


def training_section(story: Story) -> Html:
    """The curve of its loss and what training said of itself."""
    points = losses_of(story.curve)
    if not points:
        return facts(story.training)
    curves = [
        Curve("training, each step", points, "s-faint", 1.0),
        Curve("training, running mean", smoothed(points), "s-good"),
        Curve("validation", validation_of(story.curve), "s-bad", dots=True),
    ]
    chart = line_chart("Loss while it was trained", curves, "step", "nats a token")
    return join([chart, facts(story.training)])


def losses_of(curve: Sequence[Progress]) -> list[Point]:
    """Step and loss of each report that has one."""
    return [(float(one.step), one.loss) for one in curve if one.loss is not None]


def validation_of(curve: Sequence[Progress]) -> list[Point]:
    """Step and loss on the validation side, where it was measured."""
    return [(float(one.step), loss) for one in curve if (loss := getattr(one, "validation_loss", None)) is not None]


def smoothed(points: Sequence[Point]) -> list[Point]:
    """The running mean at each step."""
    means = running_mean([loss for _, loss in points])
    return [(step, mean) for (step, _), mean in zip(points, means, strict=True)]
