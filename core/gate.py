"""The gate: a candidate is better on the new and not worse on the old, or it is not promoted."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from core.statistics import Interval, clustered_bootstrap, paired_permutation, power
from core.verdict import ArtifactSanity, Check, Evaluation, GateThresholds, PairedLoss, Verdict

__all__ = ["ArtifactSanity", "Check", "Evaluation", "GateThresholds", "PairedLoss", "Verdict", "judge"]


def judge(evaluation: Evaluation, thresholds: GateThresholds) -> Verdict:
    """Promoted only when every check passed; a missing or non-finite figure fails its check.

    All checks must pass, so none needs a correction for the others.
    """
    against_base = _Question(evaluation, thresholds, evaluation.held_out, "held-out", None)
    against_champion = _Question(evaluation, thresholds, evaluation.held_out, "held-out", evaluation.champion)
    general = _Question(evaluation, thresholds, evaluation.general, "general", evaluation.champion)
    comparisons = (
        _better("held_out_loss_vs_champion", against_champion),
        _not_worse("held_out_loss_vs_base", against_base, thresholds.base_margin),
        _not_worse("general_non_inferiority", general, thresholds.general_margin),
    )
    checks = (_artifact_sanity(evaluation), _enough_evidence(evaluation, thresholds), *comparisons)
    failed = tuple(check.sentence for check in checks if not check.passed)
    reasons = failed or tuple(check.sentence for check in comparisons)
    return Verdict(promoted=not failed, reasons=reasons, checks=checks, thresholds=thresholds)


@dataclass(frozen=True)
class _Question:
    """The candidate against one reference on one set; the reference is a version, or None for the base."""

    evaluation: Evaluation
    thresholds: GateThresholds
    pairs: Sequence[PairedLoss]
    where: str
    champion: int | None

    @property
    def reference(self) -> str:
        return "the base" if self.champion is None else f"v{self.champion}"

    @property
    def units(self) -> list[str]:
        return [pair.unit for pair in self.pairs]

    def differences(self) -> list[float]:
        """Candidate minus reference; NaN where a score is missing."""
        references = [pair.base if self.champion is None else pair.champion for pair in self.pairs]
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

    def interval(self, differences: Sequence[float]) -> Interval:
        limits = self.thresholds
        return clustered_bootstrap(differences, self.units, limits.bootstrap_draws, limits.seed, limits.alpha)

    def check(
        self, name: str, statistic: str, *, passed: bool, sentence: str, effect: float, **figures: float
    ) -> Check:
        known = power(self.differences(), self.units, effect, self.thresholds.alpha) if figures else None
        return Check(
            name=name,
            passed=passed,
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


def _artifact_sanity(evaluation: Evaluation) -> Check:
    sanity = evaluation.sanity
    faults = [
        sentence
        for holds, sentence in (
            (sanity.finite, "its weights are not all finite"),
            (sanity.changed, "training changed nothing"),
            (sanity.right_base, "it belongs to another base model"),
        )
        if not holds
    ]
    found = "; ".join(faults) or "weights are finite, changed by training, and belong to the base model"
    detail = f" ({sanity.detail})" if sanity.detail else ""
    sentence = f"v{evaluation.version}: {found}{detail}"
    return Check(name="artifact_sanity", passed=not faults, statistic="inspection", n=1, sentence=sentence)


def _enough_evidence(evaluation: Evaluation, thresholds: GateThresholds) -> Check:
    """Enough conversations, and enough clusters that the permutation test could reach alpha at all."""
    n, clusters = len(evaluation.held_out), len({pair.unit for pair in evaluation.held_out})
    clusters_needed = math.ceil(-math.log2(thresholds.alpha))
    passed = n >= thresholds.min_held_out and clusters >= clusters_needed
    needed = f"at least {thresholds.min_held_out} of {clusters_needed} clusters are needed"
    found = f"{n} held-out conversations of {clusters} clusters, {needed}"
    return Check(
        name="enough_evidence",
        passed=passed,
        statistic="count",
        n=n,
        clusters=clusters,
        estimate=float(n),
        threshold=float(thresholds.min_held_out),
        sentence=found if passed else f"not enough evidence: {found}",
    )


def _better(name: str, question: _Question) -> Check:
    """Superiority: exact permutation for few pairs, clustered bootstrap for many."""
    thresholds, differences = question.thresholds, question.differences()
    few = len(differences) < thresholds.exact_below
    statistic = "paired_permutation" if few else "clustered_bootstrap"
    obstacle = question.unusable(differences)
    if obstacle:
        return question.check(name, statistic, passed=False, sentence=obstacle, effect=thresholds.power_effect)
    interval = question.interval(differences)
    figures = {"estimate": interval.estimate, "lower": interval.lower, "upper": interval.upper}
    if few:
        chance = paired_permutation(differences, question.units)
        figures |= {"p_value": chance, "threshold": thresholds.alpha}
        passed, rule = chance <= thresholds.alpha, f"{_shown(chance)}, at most {thresholds.alpha:g} is needed"
    else:
        figures |= {"threshold": 0.0}
        passed, rule = interval.upper < 0.0, "the upper bound must be below 0"
    sentence = f"{question.change(interval)}; {rule})"
    return question.check(name, statistic, passed=passed, sentence=sentence, effect=thresholds.power_effect, **figures)


def _not_worse(name: str, question: _Question, margin: float) -> Check:
    """Non-inferiority: the upper bound of the change stays under the margin; power is that of no change at all."""
    differences = question.differences()
    obstacle = question.unusable(differences)
    if obstacle:
        return question.check(name, "clustered_bootstrap", passed=False, sentence=obstacle, effect=margin)
    interval = question.interval(differences)
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
