"""The gate: a candidate is better on the new and not worse on the old, or it is not promoted."""

import math
from collections.abc import Sequence

from core.gate_answers import answer_checks
from core.gate_losses import Question, better, not_worse
from core.gate_measures import measure_checks, preferred
from core.verdict import (
    ArtifactSanity,
    Check,
    Evaluation,
    GateThresholds,
    PairedLoss,
    Verdict,
    obstacles,
)

__all__ = ["ArtifactSanity", "Check", "Evaluation", "GateThresholds", "PairedLoss", "Verdict", "judge"]


def judge(evaluation: Evaluation, thresholds: GateThresholds) -> Verdict:
    """Promoted only when every required check passed and one superiority check; a missing or non-finite figure fails.

    All required checks must pass, so none needs a correction for the others. Of the superiority checks one is enough,
    so they share alpha between them (Bonferroni).
    """
    superiority = _superiority(evaluation, thresholds)
    checks = (
        _artifact_sanity(evaluation),
        _enough_evidence(evaluation, thresholds),
        *superiority,
        *_losses(evaluation, thresholds),
        *answer_checks(evaluation, thresholds),
        *measure_checks(evaluation, thresholds),
    )
    if evaluation.whole_model:
        checks = (*checks, _swapped_in(evaluation.version, [check.name for check in obstacles(checks)]))
    failed = tuple(check.sentence for check in obstacles(checks))
    reasons = failed or tuple(check.sentence for check in checks if check.role == "superiority" and check.passed)
    return Verdict(promoted=not failed, reasons=reasons, checks=checks, thresholds=thresholds)


def _superiority(evaluation: Evaluation, thresholds: GateThresholds) -> tuple[Check, ...]:
    asked = 1 + (evaluation.golden is not None) + (evaluation.preferences is not None)
    alpha = thresholds.alpha / asked
    new = Question(evaluation, thresholds, evaluation.held_out, "held-out", evaluation.champion)
    found = [better("held_out_loss_vs_champion", new, alpha)]
    if evaluation.golden is not None:
        golden = Question(evaluation, thresholds, evaluation.golden, "golden", evaluation.champion)
        found.append(better("golden_loss_vs_champion", golden, alpha))
    if evaluation.preferences is not None:
        found.append(preferred(evaluation, thresholds, alpha))
    return tuple(found)


def _losses(evaluation: Evaluation, thresholds: GateThresholds) -> tuple[Check, ...]:
    """Non-inferiority: to the base always, and to the champion where there is one."""

    def question(where: str, champion: int | None) -> Question:
        pairs = {"held-out": evaluation.held_out, "general": evaluation.general, "golden": evaluation.golden or ()}
        return Question(evaluation, thresholds, pairs[where], where, champion)

    champion = evaluation.champion
    found = [not_worse("held_out_loss_vs_base", question("held-out", None), thresholds.base_margin)]
    if champion is not None:
        found.append(not_worse("held_out_non_inferiority", question("held-out", champion), thresholds.base_margin))
    found.append(not_worse("general_non_inferiority", question("general", champion), thresholds.general_margin))
    if evaluation.golden is not None:
        found.append(not_worse("golden_non_inferiority", question("golden", champion), thresholds.golden_margin))
    return tuple(found)


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


def _swapped_in(version: int, failed: Sequence[str]) -> Check:
    """A model of its own cannot be put beside others in one engine; whether to serve it is for a person to say."""
    found = f"it failed {', '.join(failed)}" if failed else "it passed every other check"
    sentence = (
        f"v{version} is a whole model and is not swapped in by itself; {found}. To serve it, set BASE_MODEL to its "
        f"folder, trained_models/v{version} in STATE_DIR, and start again"
    )
    return Check(name="can_be_swapped_in", passed=False, statistic="inspection", n=1, sentence=sentence)


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
