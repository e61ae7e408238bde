"""What does not fit is computed in pieces or twice, and the gradients are the same."""

from pathlib import Path
from typing import Any

import pytest
import torch

from core.recipe import Recipe
from core.rendering import render
from tests.wrappers.tiny_model import short_conversations
from wrappers import lora_training
from wrappers.fused_lora import fused
from wrappers.lora_model import attach, load_base, load_tokenizer, trainable
from wrappers.lora_training import LoraTraining
from wrappers.memory_relief import MemoryRelief
from wrappers.row_workers import RowWorkers

pytestmark = pytest.mark.slow  # trains a model of Transformers

RECIPE = Recipe(rank=4, alpha=8, epochs=1, pack_tokens=2048, tokens_per_step=2048, learning_rate=5e-3, replay_share=0.0)


def make(tiny_model: Path, **changed: Any) -> LoraTraining:
    tokenizer = load_tokenizer(tiny_model)
    recipe = RECIPE.model_copy(update=changed)
    rendered = [render(conversation, tokenizer, 512) for conversation in short_conversations(8)]
    return LoraTraining(attach(load_base(tiny_model, dtype="float32"), recipe), rendered, [], recipe)


def test_a_row_that_does_not_fit_is_computed_again_and_then_halved_and_learns_the_same(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make(tiny_model)
    whole.run()
    losses, sizes = lora_training.token_losses, []

    def narrow(model, batch):
        sizes.append(batch.tokens)
        if batch.tokens > 400:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return losses(model, batch)

    monkeypatch.setattr(lora_training, "token_losses", narrow)
    narrowed = make(tiny_model)
    narrowed.run()
    assert narrowed._relief.recomputes
    assert max(sizes) > 400 >= min(sizes)
    for name, expected in trainable(whole._model).items():
        torch.testing.assert_close(trainable(narrowed._model)[name], expected, atol=2e-5, rtol=1e-3)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_activations_that_are_computed_twice_give_the_same_gradients(tiny_model: Path, dropout: float) -> None:
    """Several rows at once, in threads, where there is no dropout; with it one after another."""
    shape = {"pack_tokens": 256, "dropout": dropout}
    gradients, forwards = [], []
    for training in (make(tiny_model, **shape), make(tiny_model, **shape, gradient_checkpointing=True)):
        counted = []
        layer = training._model.base_model.model.model.layers[0].self_attn
        layer.register_forward_hook(lambda *_, counted=counted: counted.append(1))
        step = training._steps[0]
        assert len(step.rows) > 1
        training._model.train()
        with fused(training._model), RowWorkers(training._rows_at_once()) as workers:
            training._one_step(step, 1e-3, workers)
        gradients.append({name: parameter.grad for name, parameter in trainable(training._model).items()})
        forwards.append(len(counted))
    assert forwards[1] == 2 * forwards[0], "the second has effect"
    for name, expected in gradients[0].items():
        assert expected is not None
        torch.testing.assert_close(gradients[1][name], expected, atol=1e-6, rtol=1e-5, msg=name)


def test_a_single_conversation_that_does_not_fit_is_an_error() -> None:
    class Model:
        def gradient_checkpointing_enable(self, **_: object) -> None: ...

    def never(row: tuple[int, ...]) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        MemoryRelief(Model()).gradients(never, (1, 2, 3))
