"""Checks on losses: the candidate beside one reference on the same conversations, by cluster."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from core.statistics import Interval, clustered_bootstrap, paired_permutation, power
from core.verdict import Check, Evaluation, GateThresholds, PairedLoss, reference_name, reference_of


@dataclass(frozen=True)
class Question:
    """The candidate against one reference on one set; the reference is a version, or None for the base."""

    evaluation: Evaluation
    thresholds: GateThresholds
    pairs: Sequence[PairedLoss]
    where: str
    champion: int | None

    @property
    def reference(self) -> str:
        return reference_name(self.champion)

    @property
    def units(self) -> list[str]:
        return [pair.unit for pair in self.pairs]

    def differences(self) -> list[float]:
        """Candidate minus reference; NaN where a score is missing."""
        references = [reference_of(pair, self.champion) for pair in self.pairs]
        return [
            math.nan if reference is None else pair.candidate - reference
            for pair, reference in zip(self.pairs, references, strict=True)
        ]

    def unusable(self, differences: Sequence[float]) -> str | None:
        """Why these figures decide nothing, or None."""
        if len(set(self.units)) < 2:
            return f"expected {self.where} scores from at least 2 clusters, found {len(set(self.units))}"
        twice = [name for name, count in Counter(pair.conversation_id for pair in self.pairs).items() if count > 1]
        if twice:
            return f"expected each {self.where} conversation once, found {twice[0]} more than once"
        lost = [pair.conversation_id for pair, d in zip(self.pairs, differences, strict=True) if not math.isfinite(d)]
        if lost:
            return (
                f"{len(lost)} of {len(self.pairs)} {self.where} losses against {self.reference} are missing or not "
                f"finite, the first for conversation {lost[0]}"
            )
        return None

    def interval(self, differences: Sequence[float], alpha: float) -> Interval:
        limits = self.thresholds
        return clustered_bootstrap(differences, self.units, limits.bootstrap_draws, limits.seed, alpha)

    def check(
        self,
        name: str,
        statistic: str,
        *,
        passed: bool,
        sentence: str,
        effect: float,
        role: Literal["required", "superiority"] = "required",
        **figures: float,
    ) -> Check:
        beyond = effect - self.thresholds.superiority_margin if role == "superiority" else effect
        known = power(self.differences(), self.units, beyond, self.thresholds.alpha) if figures else None
        return Check(
            name=name,
            passed=passed,
            role=role,
            statistic=statistic,
            n=len(self.pairs),
            clusters=len(set(self.units)),
            power=known.power if known else None,
            detectable_effect=known.detectable_effect if known else None,
            effect=effect,
            sentence=sentence,
            **figures,
        )

    def change(self, interval: Interval) -> str:
        """Such as: the loss of v2 is 0.312 nats a token lower than that of v1 on 40 held-out conversations (…)."""
        direction = "lower" if interval.estimate < 0 else "higher"
        return (
            f"the loss of v{self.evaluation.version} is {abs(interval.estimate):.3f} nats a token {direction} than "
            f"that of {self.reference} on {len(self.pairs)} {self.where} conversations of "
            f"{len(set(self.units))} clusters (change between {interval.lower:+.3f} and {interval.upper:+.3f}"
        )


def better(name: str, question: Question, alpha: float) -> Check:
    """Superiority beyond the margin, exact permutation for few pairs and clustered bootstrap for many.

    Two trainings that differ in their seed alone differ a little on every conversation: a test of no difference at all
    would call one of them better, and be right. The margin stands above that.
    """
    thresholds, differences = question.thresholds, question.differences()
    few, margin = len(differences) < thresholds.exact_below, thresholds.superiority_margin
    statistic = "paired_permutation" if few else "clustered_bootstrap"
    effect = thresholds.power_effect
    obstacle = question.unusable(differences)
    if obstacle:
        return question.check(name, statistic, passed=False, role="superiority", sentence=obstacle, effect=effect)
    interval = question.interval(differences, alpha)
    figures = {"estimate": interval.estimate, "lower": interval.lower, "upper": interval.upper}
    if few:
        chance = paired_permutation([difference + margin for difference in differences], question.units)
        figures |= {"p_value": chance, "threshold": alpha}
        rule = f"{_shown(chance)} for more than {margin:g}, at most {alpha:g} is needed"
        passed = chance <= alpha
    else:
        figures |= {"threshold": -margin}
        passed, rule = interval.upper < -margin, f"the upper bound must be below {-margin:g}"
    sentence = f"{question.change(interval)}; {rule})"
    return question.check(
        name, statistic, passed=passed, role="superiority", sentence=sentence, effect=effect, **figures
    )


def not_worse(name: str, question: Question, margin: float) -> Check:
    """Non-inferiority: the upper bound of the change stays under the margin; power is that of no change at all."""
    differences = question.differences()
    obstacle = question.unusable(differences)
    if obstacle:
        return question.check(name, "clustered_bootstrap", passed=False, sentence=obstacle, effect=margin)
    interval = question.interval(differences, question.thresholds.alpha)
    return question.check(
        name,
        "clustered_bootstrap",
        passed=interval.upper < margin,
        sentence=f"{question.change(interval)}; the upper bound must be below {margin:+g})",
        effect=margin,
        estimate=interval.estimate,
        lower=interval.lower,
        upper=interval.upper,
        threshold=margin,
    )


def _shown(chance: float) -> str:
    return "p < 0.0001" if chance < 0.0001 else f"p = {chance:.4f}"
