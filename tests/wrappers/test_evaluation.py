from pathlib import Path

import pytest

from core.gate import Evaluation, GateThresholds, judge
from core.recipe import Recipe
from resources.reference_sets import GENERAL, read_set
from tests.wrappers.tiny_model import short_conversations
from wrappers import evaluation
from wrappers.adapter_job import AdapterJob, train_adapter
from wrappers.evaluation import EvaluationJob, evaluate_adapter, refused

pytestmark = pytest.mark.slow

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
    first, second = (measured(tiny_model, adapters, champion=False) for _ in range(2))
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
