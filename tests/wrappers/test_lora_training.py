from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core.recipe import Recipe
from core.rendering import IGNORED, Rendered, render
from resources import folders
from tests.wrappers.tiny_model import short_conversations
from wrappers import lora_training
from wrappers.checkpoints import Checkpointing, Checkpoints, Origin
from wrappers.lora_model import attach, load_base, load_tokenizer, trainable
from wrappers.lora_training import LoraTraining, optimizer_options
from wrappers.training_outcome import StepReport, TrainingFailed, TrainingImpossible, TrainingInterrupted

pytestmark = pytest.mark.slow  # trains a model of Transformers

RECIPE = Recipe(
    rank=4, alpha=8, dropout=0.1, epochs=2, pack_tokens=256, tokens_per_step=512, learning_rate=5e-3, replay_share=0.2
)
ORIGIN = Origin(version=1, base_fingerprint="tiny", dataset_hash="data", recipe=RECIPE)


@pytest.fixture
def make(tiny_model: Path) -> Callable[[], LoraTraining]:
    tokenizer = load_tokenizer(tiny_model)
    rendered = [render(conversation, tokenizer, 512) for conversation in short_conversations(24)]
    return lambda: LoraTraining(attach(load_base(tiny_model), RECIPE), rendered[:16], rendered[16:], RECIPE)


def checkpoints(folder: Path) -> Checkpoints:
    return Checkpoints(folder, publish=folders.publish, check=folders.check, hashes=folders.hashes)


def weights(training: LoraTraining) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in trainable(training._model).items()}


def test_training_lowers_the_loss(make: Callable[[], LoraTraining]) -> None:
    result = make().run()
    assert result.final_loss < result.first_loss


def test_an_interrupted_and_resumed_training_ends_where_an_unbroken_one_does(make, tmp_path: Path) -> None:
    unbroken = make()
    losses: list[float] = []
    unbroken.run(on_step=lambda report: losses.append(report.loss))
    seen: list[StepReport] = []
    saving = Checkpointing(checkpoints(tmp_path), ORIGIN)
    with pytest.raises(TrainingInterrupted):
        make().run(checkpointing=saving, on_step=seen.append, interrupted=lambda: len(seen) == 3)
    resumed = make()
    state, _ = saving.checkpoints.newest() or pytest.fail("no checkpoint was saved")
    assert state.step == 3
    resumed.restore(state)
    resumed.run(on_step=seen.append)
    assert [report.step for report in seen] == list(range(1, unbroken.total_steps + 1))
    assert [report.loss for report in seen] == pytest.approx(losses, abs=1e-5)
    for name, expected in weights(unbroken).items():
        torch.testing.assert_close(weights(resumed)[name], expected, atol=1e-5, rtol=0)


def test_without_its_moments_a_resumed_training_would_end_elsewhere(make) -> None:
    """Guards the test above: the tolerance is tight enough to notice a lost optimiser."""
    unbroken, cut = make(), make()
    unbroken.run()
    with pytest.raises(TrainingInterrupted):
        cut.run(interrupted=lambda: cut.state().step == 3)
    resumed, state = make(), cut.state()
    zeroed = {name: value * 0 if name.startswith("exp_avg.") else value for name, value in state.tensors.items()}
    resumed.restore(type(state)(state.step, zeroed, state.figures))
    resumed.run()
    assert max((weights(resumed)[name] - value).abs().max() for name, value in weights(unbroken).items()) > 1e-4


def test_checkpoints_are_saved_by_time(make, tmp_path: Path) -> None:
    kept = checkpoints(tmp_path)
    training = make()
    training.run(checkpointing=Checkpointing(kept, ORIGIN, seconds=1e-9))
    state, manifest = kept.newest() or pytest.fail("no checkpoint was saved")
    assert state.step == training.total_steps
    assert manifest.counts["step"] == state.step
    assert ORIGIN.led_to(manifest)


def test_no_conversation_is_refused(tiny_model) -> None:
    with pytest.raises(TrainingImpossible, match="found none"):
        LoraTraining(attach(load_base(tiny_model), RECIPE), [], [], RECIPE)


def test_a_dataset_without_a_label_is_refused(tiny_model) -> None:
    masked = Rendered((1, 2, 3), (IGNORED,) * 3)
    with pytest.raises(TrainingImpossible, match="every token masked"):
        LoraTraining(attach(load_base(tiny_model), RECIPE), [masked], [], RECIPE)


def test_a_loss_that_is_not_finite_ends_training_at_that_step(make) -> None:
    training = make()
    with torch.no_grad():
        next(iter(trainable(training._model).values())).fill_(float("nan"))
    with pytest.raises(TrainingFailed, match=r"finite loss .* step 1 .* learning rate"):
        training.run()


def planted(monkeypatch, loss: float, gradient: float) -> None:
    """Every token costs `loss`, and moves every weight as `gradient` says."""

    def token_losses(model, batch):  # type: ignore[no-untyped-def]
        moving = sum(parameter.sum() for parameter in trainable(model).values()) * gradient
        return torch.full((batch.targets.numel(),), loss) + (moving - moving.detach())

    monkeypatch.setattr(lora_training, "token_losses", token_losses)


def test_a_gradient_of_zero_ends_training_at_its_first_step(make, monkeypatch) -> None:
    training = make()
    planted(monkeypatch, 1.25, 0.0)
    with pytest.raises(TrainingFailed, match=r"Expected a gradient at step 1 of \d+, .* found none"):
        training.run()


def test_a_loss_that_is_the_same_for_every_batch_ends_training(tiny_model: Path, monkeypatch) -> None:
    tokenizer = load_tokenizer(tiny_model)
    rendered = [render(conversation, tokenizer, 512) for conversation in short_conversations(16)]
    longer = RECIPE.model_copy(update={"epochs": 4})
    training = LoraTraining(attach(load_base(tiny_model), longer), rendered, [], longer)
    assert training.total_steps >= 10
    planted(monkeypatch, 1.3, 0.01)
    with pytest.raises(TrainingFailed, match=r"a loss that changes .* found 1.3 in each of the 10 steps up to 10 of"):
        training.run()


def test_rows_of_half_the_length_are_the_same_training(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    rendered = [render(conversation, tokenizer, 512) for conversation in short_conversations(24)]
    plain = RECIPE.model_copy(update={"dropout": 0.0})
    ended = []
    for tokens in (256, 128):
        recipe = plain.model_copy(update={"pack_tokens": tokens})
        training = LoraTraining(attach(load_base(tiny_model), recipe), rendered[:16], rendered[16:], recipe)
        result = training.run()
        ended.append((max(len(step.rows) for step in training._steps), training.total_steps, result.final_loss))
    assert ended[1][0] > ended[0][0], "more and shorter rows"
    assert ended[1][1] == ended[0][1]
    assert ended[1][2] == pytest.approx(ended[0][2], abs=2e-2), "equal but for the rounding of bfloat16"


def test_an_adapter_that_did_not_move_is_not_a_result(make, monkeypatch) -> None:
    training = make()
    monkeypatch.setattr(training._optimizer, "step", lambda: None)
    with pytest.raises(TrainingFailed, match="unchanged"):
        training.run()


def test_reports_count_steps_and_promise_an_end(make) -> None:
    reports: list[StepReport] = []
    training = make()
    training.run(on_step=reports.append)
    assert [report.total_steps for report in reports] == [training.total_steps] * training.total_steps
    assert reports[-1].eta_seconds == 0.0
    assert all(report.tokens_per_second > 0 for report in reports)


def test_on_a_gpu_the_optimiser_is_one_kernel_and_takes_what_it_is_told() -> None:
    told = {device: optimizer_options(RECIPE, device) for device in ("cpu", "cuda")}
    assert (told["cpu"]["fused"], told["cuda"]["fused"]) == (False, True)
    for options in told.values():
        group = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], **options).param_groups[0]
        assert (group["lr"], group["weight_decay"]) == (RECIPE.learning_rate, RECIPE.weight_decay)
