"""Early stopping keeps the best weights, stops in time, and a resumed training decides the same."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core.recipe import Recipe
from core.rendering import Rendered, render
from resources import folders
from tests.wrappers.tiny_model import short_conversations
from wrappers.adapter_job import AdapterJob, train_adapter
from wrappers.checkpoints import Checkpointing, Checkpoints, Origin
from wrappers.early_stopping import EarlyStopping
from wrappers.lora_model import attach, load_base, load_tokenizer, trainable
from wrappers.lora_scoring import mean_losses
from wrappers.lora_training import LoraTraining
from wrappers.rate_sweep import best_of
from wrappers.training_outcome import StepReport, TrainingInterrupted

pytestmark = pytest.mark.slow  # trains a model of Transformers

# so high a rate learns four conversations by heart within an epoch or two
RECIPE = Recipe(
    rank=8, alpha=32, epochs=8, patience=1, pack_tokens=512, tokens_per_step=512, learning_rate=2e-2, replay_share=0.0,
    schedule="constant", warmup_share=0.0,
)  # fmt: skip
ORIGIN = Origin(1, "tiny", "data", RECIPE)


@pytest.fixture(scope="module")
def rendered(tiny_model: Path) -> list[Rendered]:
    tokenizer = load_tokenizer(tiny_model)
    return [render(conversation, tokenizer, 512) for conversation in short_conversations(16)]


@pytest.fixture
def make(tiny_model: Path, rendered: list[Rendered]) -> Callable[..., LoraTraining]:
    def made(validation: int = 12, recipe: Recipe = RECIPE) -> LoraTraining:
        unseen = rendered[4 : 4 + validation]
        return LoraTraining(attach(load_base(tiny_model), recipe), rendered[:4], [], recipe, unseen)

    return made


def test_it_stops_after_the_epoch_that_brought_nothing_and_takes_the_weights_before(make, rendered) -> None:
    training = make()
    result = training.run()
    losses = training._stopping.losses
    assert result.steps < training.total_steps, "the end of the plan was never reached"
    assert losses[-1] > losses[-2] == min(losses) == result.validation_loss
    found = mean_losses(training._model, rendered[4:], RECIPE.pack_tokens)
    assert sum(found) / len(found) == pytest.approx(result.validation_loss, abs=1e-4)


def test_without_patience_or_without_validation_it_trains_to_the_end(make) -> None:
    for training in (make(recipe=RECIPE.model_copy(update={"patience": 0, "epochs": 2})), make(validation=0)):
        result = training.run()
        assert result.steps == training.total_steps
        assert result.validation_loss is None


def test_a_training_that_was_interrupted_stops_at_the_same_step_with_the_same_weights(make, tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, publish=folders.publish, check=folders.check, hashes=folders.hashes)
    unbroken = make()
    whole = unbroken.run()
    seen: list[StepReport] = []
    with pytest.raises(TrainingInterrupted):
        make().run(
            checkpointing=Checkpointing(kept, ORIGIN, seconds=3600),
            on_step=seen.append,
            interrupted=lambda: len(seen) == whole.steps - 1,
        )
    state, _ = kept.newest() or pytest.fail("no checkpoint was saved")
    resumed = make()
    resumed.restore(state)
    assert resumed.run().validation_loss == pytest.approx(whole.validation_loss, abs=1e-5)
    assert resumed.state().step == whole.steps
    for name, expected in trainable(unbroken._model).items():
        torch.testing.assert_close(trainable(resumed._model)[name], expected, atol=1e-5, rtol=0)


def test_each_look_is_a_checkpoint_and_the_best_one_is_known(make, tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, publish=folders.publish, check=folders.check, hashes=folders.hashes, keep=1)
    training, told = make(), list[StepReport]()
    result = training.run(checkpointing=Checkpointing(kept, ORIGIN, seconds=3600), on_step=told.append)
    assert min(report.validation_loss for report in told if report.validation_loss is not None) == pytest.approx(
        result.validation_loss
    )
    newest, best = kept.newest(), kept.best()
    assert newest is not None
    assert best is not None
    assert newest[0].step == result.steps > best[0].step
    assert best[0].metrics["validation_loss"] == pytest.approx(result.validation_loss)


def test_of_equal_losses_the_first_is_the_best_and_no_look_is_never_over() -> None:
    stopping = EarlyStopping([Rendered((1, 2), (1, 2))], patience=2, row_tokens=16)
    assert not stopping.over
    for losses, over in (([3.0], False), ([3.0, 3.0], False), ([3.0, 3.0, 3.0], True), ([3.0, 3.1, 2.9], False)):
        stopping.restore(losses, {})
        assert stopping.over == over


def test_the_rate_that_validation_likes_best_is_trained_with_and_the_others_are_told(
    tiny_model: Path, tmp_path: Path
) -> None:
    recipe = Recipe(
        rank=4, alpha=8, epochs=1, pack_tokens=512, tokens_per_step=512, learning_rate=1e-4, replay_share=0.0,
        rate_factors=(0.01, 50.0, 100.0),
    )  # fmt: skip
    chosen = short_conversations(20)
    job = AdapterJob(tiny_model, "tiny", chosen[:14], [], recipe, validation=chosen[14:])
    trained = train_adapter(job, tmp_path)
    assert list(trained.sweep) == pytest.approx([1e-6, 5e-3, 1e-2])
    assert trained.result.learning_rate == best_of(dict(trained.sweep)) > 1e-4
    assert trained.details()["validation_loss_by_learning_rate"].startswith("1e-06: ")
    (tmp_path / "plain").mkdir()
    best = recipe.model_copy(update={"learning_rate": trained.result.learning_rate, "rate_factors": ()})
    train_adapter(AdapterJob(tiny_model, "tiny", chosen[:14], [], best), tmp_path / "plain")
    weights = "adapter_model.safetensors"
    assert folders.hashes(tmp_path / "plain")[weights] == folders.sha256_of(tmp_path / weights), "it began anew"


def test_what_did_not_stay_finite_is_never_the_best_rate() -> None:
    assert best_of({1e-3: float("inf"), 1e-4: 3.0, 1e-5: 3.0}) == 1e-5
