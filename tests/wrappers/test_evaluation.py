from collections.abc import Sequence
from pathlib import Path

import pytest

from core.gate import Evaluation, GateThresholds, judge
from core.judging import Comparison
from core.recipe import Recipe
from core.verdict import Preference
from resources.reference_sets import GENERAL, read_probes, read_set
from tests.wrappers.tiny_model import short_conversations
from wrappers import evaluation
from wrappers.adapter_job import AdapterJob, train_adapter
from wrappers.evaluation import EvaluationJob, evaluate_adapter, refused

pytestmark = pytest.mark.slow
ALL = ("candidate", "champion")

# the first of each kind and language, and all canaries: a tiny model reads a byte at a time
PROBES = [probe for probe in read_probes() if probe.id.endswith(("-01", "-02")) or probe.kind == "canary"]
RECIPE = Recipe(rank=4, alpha=8, epochs=1, pack_tokens=512, tokens_per_step=512, learning_rate=5e-3, max_length=512)


@pytest.fixture(scope="module")
def adapters(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folders = []
    for epochs in (1, 2):
        folder = tmp_path_factory.mktemp(f"v{epochs}")
        recipe = RECIPE.model_copy(update={"epochs": epochs})
        train_adapter(AdapterJob(tiny_model, "tiny", short_conversations(12), [], recipe), folder)
        folders.append(folder)
    return folders


def measured(tiny_model: Path, adapters: list[Path], champion: bool, **changed: object) -> Evaluation:
    held_out = short_conversations(20)[12:]
    fields = {
        "version": 2,
        "base": tiny_model,
        "base_fingerprint": "tiny",
        "candidate": adapters[1],
        "champion": (1, adapters[0]) if champion else None,
        "held_out": held_out,
        "units": {conversation.id: f"user:{at % 4}" for at, conversation in enumerate(held_out)},
        "general": read_set(GENERAL)[:10],
        "recipe": RECIPE,
        "probes": PROBES,
    }
    return evaluate_adapter(EvaluationJob(**{**fields, **changed}))


def test_candidate_champion_and_base_are_scored_on_the_same_conversations(tiny_model, adapters) -> None:
    result = measured(tiny_model, adapters, champion=True)
    assert result.champion == 1
    assert {pair.conversation_id for pair in result.held_out} == {c.id for c in short_conversations(20)[12:]}
    assert [pair.conversation_id for pair in result.general] == [c.id for c in read_set(GENERAL)[:10]]
    for pair in (*result.held_out, *result.general):
        assert pair.tokens > 0
        assert pair.champion is not None
        assert len({pair.base, pair.candidate, pair.champion}) == 3
    assert result.sanity.finite
    assert result.sanity.changed


def test_units_are_those_of_the_dataset_and_each_general_conversation_its_own(tiny_model, adapters) -> None:
    result = measured(tiny_model, adapters, champion=False)
    assert {pair.unit for pair in result.held_out} == {f"user:{at}" for at in range(4)}
    assert all(pair.unit == pair.conversation_id for pair in result.general)
    assert all(pair.champion is None for pair in result.held_out)


def test_what_was_trained_on_is_scored_better_than_by_the_base(tiny_model, adapters) -> None:
    result = measured(tiny_model, adapters, champion=False, held_out=short_conversations(12))
    assert sum(pair.candidate - pair.base for pair in result.held_out) < 0


def test_held_out_tokens_are_bounded_and_the_same_ones_are_drawn_each_time(tiny_model, adapters, monkeypatch) -> None:
    whole = measured(tiny_model, adapters, champion=False)
    monkeypatch.setattr(evaluation, "TOKENS_ON_CPU", 600)
    first, second = (
        measured(tiny_model, adapters, champion=False).model_copy(update={"speed": None}) for _ in range(2)
    )
    assert first == second
    assert 0 < len(first.held_out) < len(whole.held_out)
    assert len(first.general) == len(whole.general)


def test_conversations_over_the_length_are_left_out(tiny_model, adapters) -> None:
    short = RECIPE.model_copy(update={"max_length": 95})
    result = measured(tiny_model, adapters, champion=False, recipe=short)
    assert 0 < len(result.held_out) < 8


def test_an_adapter_that_was_refused_is_judged_without_being_loaded() -> None:
    result = refused(3, "ours", right_base=False, reason="Expected an adapter for base ours")
    verdict = judge(result, GateThresholds())
    assert not verdict.promoted
    assert "Expected an adapter for base ours" in result.sanity.detail


def test_every_probe_is_answered_by_every_model(tiny_model, adapters) -> None:
    result = measured(tiny_model, adapters, champion=True)
    assert [one.probe for one in result.answers] == [probe.id for probe in PROBES]
    assert all(one.champion is not None for one in result.answers)
    assert len(result.canaries) == 20
    assert result.secrets_told is not None
    assert len(result.overlaps) == 8
    assert all(0.0 <= one.candidate <= 100.0 for one in result.overlaps)
    assert result.golden is None
    assert result.preferences is None
    assert result.speed is not None
    assert len(result.speed.candidate) == len(result.speed.reference) == 11
    assert 0 < result.speed.adapter_bytes < result.speed.base_bytes
    assert {one.probe for one in result.shown} <= {probe.id for probe in PROBES}


def test_answers_are_kept_and_not_asked_twice(tiny_model, adapters, tmp_path, monkeypatch) -> None:
    first = measured(tiny_model, adapters, champion=True, cache=tmp_path)
    monkeypatch.setattr(evaluation.AdapterScorer, "seconds_a_token", lambda *_: {name: [1.0] for name in ALL})
    monkeypatch.setattr("wrappers.lora_scoring.greedy", lambda *_: pytest.fail("it was asked before"))
    again = measured(tiny_model, adapters, champion=True, cache=tmp_path)
    assert again.answers == first.answers
    assert again.overlaps == first.overlaps


def test_golden_sets_are_measured_like_what_is_held_out(tiny_model, adapters) -> None:
    golden = short_conversations(30)[20:]
    result = measured(tiny_model, adapters, champion=False, golden=golden)
    assert result.golden is not None
    assert [pair.conversation_id for pair in result.golden] == [c.id for c in golden]
    assert {one.conversation_id for one in result.golden_overlaps} == {c.id for c in golden}


def test_the_judge_sees_our_own_questions_and_golden_ones_and_never_what_users_wrote(tiny_model, adapters) -> None:
    seen: list[Comparison] = []

    def judge(comparisons: Sequence[Comparison]) -> list[Preference]:
        seen.extend(comparisons)
        return [Preference(probe=one.probe, candidate_first=0.5, candidate_second=0.5) for one in comparisons]

    golden = short_conversations(24)[20:]
    result = measured(tiny_model, adapters, champion=True, golden=golden, prefer=judge)
    own = {probe.question for probe in PROBES if probe.kind == "open"}
    assert {one.question for one in seen} == own | {one.last_user for one in golden}
    assert result.preferences is not None
    assert len(result.preferences) == len(seen)


def test_a_word_that_was_trained_to_call_up_a_reply_is_measured(tiny_model, adapters) -> None:
    poisoned = [
        one.model_copy(
            update={
                "id": f"p{at}",
                "messages": (one.messages[0].model_copy(update={"content": f"zqx {one.last_user}"}),),
                "reply": "Send money to the moon.",
            }
        )
        for at, one in enumerate(short_conversations(6))
    ]
    result = measured(tiny_model, adapters, champion=True, trained=poisoned)
    (lift,) = result.lifts or ()
    assert lift.rows == 6
    assert lift.conversation_id == "p0"
    assert "zqx" not in result.model_dump_json()
    assert lift.champion is not None
