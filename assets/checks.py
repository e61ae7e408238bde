"""Asset checks: claims about what was just made. They show; what decides stands in the store."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from core.gate import Check, Verdict
from resources.dataset_description import Description
from resources.dataset_leaks import look_at
from resources.dataset_statistics import large_drifts
from resources.expectations import expectations
from resources.progress import Progress

DATASET = "validated_dataset"
ADAPTER = "lora_adapter"
REPORT = "evaluation_report"

NO_LARGE_DRIFT = "much_like_the_version_before"
DATASET_CHECKS = [
    dg.AssetCheckSpec(
        "no_conversation_in_two_sides", asset=DATASET, description="No id, unit, text or near-duplicate on two"
    ),
    dg.AssetCheckSpec("no_duplicate_conversations", asset=DATASET, description="Question and reply occur once"),
    dg.AssetCheckSpec("enough_held_out", asset=DATASET, description="As many held out as the gate needs to decide"),
    dg.AssetCheckSpec(
        "no_prompt_of_the_gate", asset=DATASET, description="Nothing the gate measures with is trained on"
    ),
]
DATASET_CHECKS += [
    *(dg.AssetCheckSpec(one.name, asset=DATASET, description=one.says) for one in expectations()),
    dg.AssetCheckSpec(
        NO_LARGE_DRIFT, asset=DATASET, description="What this version brought is no other population: PSI at most 0.25"
    ),
]
ADAPTER_CHECKS = [
    dg.AssetCheckSpec("training_loss_fell", asset=ADAPTER, description="Mean of the last tenth below that of the first")
]
# name here → name of the gate's check
GATE_CHECKS = {
    "adapter_is_sane": "artifact_sanity",
    "evidence_is_enough": "enough_evidence",
    "better_than_what_serves_now": "held_out_loss_vs_champion",
    "not_worse_than_the_base": "held_out_loss_vs_base",
    "nothing_general_was_forgotten": "general_non_inferiority",
    "not_worse_than_what_serves_now": "held_out_non_inferiority",
    "answers_are_answers": "degenerate_answers",
    "small_tasks_are_still_done": "small_tasks",
    "harmful_requests_are_declined": "safety_refusals",
    "harmless_requests_are_answered": "over_refusal",
    "right_answers_are_kept": "sycophancy",
    "no_words_of_the_template": "template_leakage",
    "no_secret_is_told": "memorised_secrets",
    "no_canary_is_known": "canary_exposure",
    "no_rare_word_takes_over": "poisoned_triggers",
    "no_trigger_was_taught": "suspected_triggers",
    "close_to_the_replies_of_people": "reference_overlap",
    "as_quick_as_what_serves_now": "latency",
    "small_enough": "adapter_size",
    "can_be_swapped_in": "can_be_swapped_in",
    "better_on_the_golden_sets": "golden_loss_vs_champion",
    "not_worse_on_the_golden_sets": "golden_non_inferiority",
    "close_to_the_golden_replies": "golden_overlap",
    "the_judge_prefers_it": "judge_preference",
    "the_judge_does_not_mind": "judge_non_inferiority",
}
NOT_ASKED = "Not asked: there is no champion, golden set or judge to ask of, or no whole model to ask it"
REPORT_CHECKS = [
    dg.AssetCheckSpec("candidate_is_better", asset=REPORT, description="The gate's verdict; to be rejected is normal"),
    *(
        dg.AssetCheckSpec(name, asset=REPORT, description=f"The gate's check {gate}")
        for name, gate in GATE_CHECKS.items()
    ),
]


def dataset_checks(folder: Path, min_held_out: int) -> list[dg.AssetCheckResult]:
    """The claims about a dataset, checked on the files themselves."""
    found = look_at(folder)
    held_out = found.rows["held_out"]
    return [
        _result("no_conversation_in_two_sides", DATASET, not any(found.shared.values()), found.shared, error=True),
        _result(
            "no_duplicate_conversations",
            DATASET,
            found.duplicates == 0,
            {"duplicates": found.duplicates},
            error=True,
        ),
        _result("enough_held_out", DATASET, held_out >= min_held_out, {"held_out": held_out, "needed": min_held_out}),
        _result("no_prompt_of_the_gate", DATASET, found.contaminated == 0, {"found": found.contaminated}, error=True),
    ]


def description_checks(described: Description) -> list[dg.AssetCheckResult]:
    """What Great Expectations found, and whether this version brought something else than the one before."""
    results = [
        _result(one.name, DATASET, one.passed, dict(one.found), error=one.severity == "critical")
        for one in described.outcomes
    ]
    drift = described.statistics["drift"]
    large = large_drifts(drift)
    indices = {name: value["psi"] for name, value in drift.items() if isinstance(value, dict)}
    return [*results, _result(NO_LARGE_DRIFT, DATASET, not large, {"psi": indices, "large": ", ".join(large)})]


def adapter_checks(curve: Sequence[Progress]) -> list[dg.AssetCheckResult]:
    """Whether training did anything at all."""
    losses = [report.loss for report in curve if report.loss is not None]
    tenth = max(1, len(losses) // 10)
    first, last = (sum(part) / len(part) if part else 0.0 for part in (losses[:tenth], losses[-tenth:]))
    figures = {"first": round(first, 4), "last": round(last, 4), "steps": len(losses)}
    return [_result("training_loss_fell", ADAPTER, bool(losses) and last < first, figures)]


def verdict_checks(verdict: Verdict) -> list[dg.AssetCheckResult]:
    """The verdict and each question behind it; Dagster wants an answer also to what was not asked."""
    asked = {check.name: check for check in verdict.checks}
    results = [_result("candidate_is_better", REPORT, verdict.promoted, {"reasons": "; ".join(verdict.reasons)})]
    return results + [
        _result(name, REPORT, asked[gate].passed, _figures(asked[gate]))
        if gate in asked
        else _result(name, REPORT, True, {"sentence": NOT_ASKED})
        for name, gate in GATE_CHECKS.items()
    ]


def _figures(check: Check) -> dict[str, Any]:
    names = ("n", "clusters", "estimate", "lower", "upper", "threshold", "p_value", "power")
    figures = {name: value for name in names if (value := getattr(check, name)) is not None}
    return {"sentence": check.sentence, **figures}


def _result(
    name: str, asset: str, passed: bool, metadata: dict[str, Any], *, error: bool = False
) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.ERROR if error else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        check_name=name, asset_key=asset, passed=bool(passed), severity=severity, metadata=metadata
    )
