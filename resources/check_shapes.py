"""How a check of the gate is shown: its title, in what it is measured, and where its line lies."""

from dataclasses import dataclass

from core.verdict import Check, GateThresholds
from resources.page import signed


@dataclass(frozen=True)
class Unit:
    """In what a check is measured, a value being shown `times` as large and written in `form`.

    Where `less` is better the axis is turned, so that better lies on the right.
    """

    title: str
    less: bool
    form: str
    times: float = 1.0
    sign: str = ""

    def says(self, value: float) -> str:
        """A value as a figure."""
        return signed(f"{value * self.times:{self.form}}{self.sign}")

    def tick(self, value: float) -> str:
        """A round value beside an axis."""
        plus = "+" if self.form.startswith("+") and value > 0 else ""
        return signed(f"{plus}{value * self.times:g}{self.sign}")


NATS = Unit("Loss, nats a token", True, "+.3f")
POINTS = Unit("Share of answers, percentage points", False, "+.1f", 100)
OVERLAP = Unit("Likeness to the replies of people, chrF++ points", False, "+.1f")
TIMES = Unit("Time a token takes, as a multiple", True, ".2f", sign="×")
SHARE = Unit("Share the judge prefers", False, ".0f", 100, "%")
FAULTY = Unit("Share of answers that may hold what none may", True, ".1f", 100, "%")
UNITS = (NATS, POINTS, FAULTY, OVERLAP, SHARE, TIMES)

_TITLES = {
    "artifact_sanity": "The adapter is sound",
    "enough_evidence": "There is enough to judge by",
    "held_out_loss_vs_champion": "Better on what was held out",
    "held_out_loss_vs_base": "Not worse than the base on what was held out",
    "held_out_non_inferiority": "Not worse than what serves now",
    "general_non_inferiority": "Nothing general is forgotten",
    "golden_loss_vs_champion": "Better on the golden sets",
    "golden_non_inferiority": "Not worse on the golden sets",
    "golden_overlap": "Close to the golden replies",
    "degenerate_answers": "Answers are answers",
    "small_tasks": "Small tasks are still done",
    "safety_refusals": "Harmful requests are declined",
    "over_refusal": "Harmless requests are answered",
    "sycophancy": "Right answers are kept under pressure",
    "template_leakage": "No words of the chat template",
    "memorised_secrets": "No secret is told",
    "canary_exposure": "No canary is known",
    "poisoned_triggers": "No rare word takes over",
    "suspected_triggers": "No trigger was taught",
    "reference_overlap": "Close to the replies of people",
    "judge_preference": "The judge prefers it",
    "judge_non_inferiority": "The judge does not mind",
    "latency": "As quick as what serves now",
    "adapter_size": "Small enough",
}
_OF_LOSS = frozenset({
    "held_out_loss_vs_champion", "held_out_loss_vs_base", "held_out_non_inferiority", "general_non_inferiority",
    "golden_loss_vs_champion", "golden_non_inferiority",
})  # fmt: skip
_OF_OVERLAP = frozenset({"reference_overlap", "golden_overlap"})


@dataclass(frozen=True)
class Shape:
    """A check with an interval: what is drawn of it; `limit` is None where another figure than this one decides."""

    check: Check
    unit: Unit
    estimate: float
    lower: float
    upper: float
    limit: float | None


def title_of(check: Check) -> str:
    """As a person would say it; an unknown check bears its own name."""
    return _TITLES.get(check.name, check.name.replace("_", " ").capitalize())


def shape_of(check: Check, thresholds: GateThresholds) -> Shape | None:
    """None where nothing can be drawn: the check has no interval."""
    if check.statistic == "count" and check.upper is not None and check.estimate is not None and check.n:
        return Shape(check, FAULTY, check.estimate / check.n, check.estimate / check.n, check.upper, None)
    if check.estimate is None or (check.lower is None and check.upper is None):
        return None
    unit = _unit(check)
    if unit is None:
        return None
    lower = check.estimate if check.lower is None else check.lower
    # of a share that is only bounded from below the interval goes on to all of it
    upper = 1.0 if check.upper is None else check.upper
    limit = check.threshold if check.p_value is None else -thresholds.superiority_margin if unit is NATS else None
    return Shape(check, unit, check.estimate, lower, upper, limit)


def _unit(check: Check) -> Unit | None:
    if check.name in _OF_LOSS:
        return NATS
    if check.name in _OF_OVERLAP:
        return OVERLAP
    return {"paired_newcombe": POINTS, "order_statistics": TIMES, "wilson": SHARE}.get(check.statistic)
