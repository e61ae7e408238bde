from pathlib import Path

import dagster as dg

from assets.checks import GATE_CHECKS, NOT_ASKED, adapter_checks, dataset_checks, verdict_checks
from core.gate import GateThresholds, judge
from resources.progress import Progress
from tests.core.examples import SOUND, Evaluation, pairs
from tests.dataset_folder import write_dataset
from tests.workshop import conversation


def written(folder: Path, train: list[int], held_out: list[int], **fields: str) -> Path:
    """A dataset of these numbers; every conversation is a unit of its own unless `user` says otherwise."""
    sides = [[conversation(n, **fields) for n in side] for side in (train, held_out)]
    write_dataset(folder, *sides, units={c.id: f"user:{c.user_id}" for side in sides for c in side})
    return folder


def outcome(folder: Path, needed: int = 2) -> dict[str | None, bool]:
    return {check.check_name: check.passed for check in dataset_checks(folder, needed)}


def test_a_sound_dataset_passes_every_check(tmp_path: Path) -> None:
    assert set(outcome(written(tmp_path / "v1", [1, 2, 3], [4, 5])).values()) == {True}


def test_a_user_on_both_sides_is_found(tmp_path: Path) -> None:
    assert outcome(written(tmp_path / "v1", [1, 2], [3, 4], user="ann"))["no_conversation_in_two_sides"] is False


def test_a_text_on_both_sides_is_found_as_leak_and_as_duplicate(tmp_path: Path) -> None:
    train, held_out = conversation(1), conversation(1).model_copy(update={"id": "other", "user_id": "other"})
    write_dataset(tmp_path / "v1", [train], [held_out], units={train.id: "a", held_out.id: "b"})
    found = outcome(tmp_path / "v1", needed=1)
    assert found["no_conversation_in_two_sides"] is False
    assert found["no_duplicate_conversations"] is False


def test_too_few_held_out_are_a_warning(tmp_path: Path) -> None:
    checks = {c.check_name: c for c in dataset_checks(written(tmp_path / "v1", [1], [2]), 12)}
    assert checks["enough_held_out"].passed is False
    assert checks["enough_held_out"].severity.value == "WARN"


def test_a_loss_that_did_not_fall_is_found() -> None:
    rising = [Progress(n, 20, float(n), None, None, None, "training") for n in range(1, 21)]
    assert adapter_checks(rising)[0].passed is False
    assert adapter_checks(list(reversed(rising)))[0].passed is True
    assert adapter_checks([])[0].passed is False


def test_every_question_of_the_gate_is_a_check_and_warns_at_most() -> None:
    evaluation = Evaluation(
        version=1,
        base_fingerprint="b",
        held_out=pairs([0.5] * 30),
        general=pairs([0.0] * 30, where="g"),
        sanity=SOUND,
    )
    verdict = judge(evaluation, GateThresholds())
    checks = {check.check_name: check for check in verdict_checks(verdict)}
    assert set(checks) == {"candidate_is_better", *GATE_CHECKS}
    not_asked = {
        name for name, check in checks.items() if check.metadata.get("sentence") == dg.MetadataValue.text(NOT_ASKED)
    }
    assert {GATE_CHECKS[name] for name in not_asked} == {
        "held_out_non_inferiority", "golden_loss_vs_champion", "golden_non_inferiority", "golden_overlap",
        "judge_preference", "judge_non_inferiority", "can_be_swapped_in",
    }  # fmt: skip
    assert checks["better_than_what_serves_now"].passed is False
    assert {check.severity.value for check in checks.values()} == {"WARN"}
