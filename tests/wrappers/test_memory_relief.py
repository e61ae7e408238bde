"""What does not fit is computed in pieces or twice, and the gradients are the same."""

from pathlib import Path

import pytest
import torch

from core.recipe import Recipe
from core.rendering import render
from tests.wrappers.tiny_model import short_conversations
from wrappers import lora_training
from wrappers.lora_model import attach, load_base, load_tokenizer, trainable
from wrappers.lora_training import LoraTraining
from wrappers.memory_relief import MemoryRelief

pytestmark = pytest.mark.slow  # trains a model of Transformers

RECIPE = Recipe(rank=4, alpha=8, epochs=1, pack_tokens=2048, tokens_per_step=2048, learning_rate=5e-3, replay_share=0.0)


def make(tiny_model: Path) -> LoraTraining:
    tokenizer = load_tokenizer(tiny_model)
    rendered = [render(conversation, tokenizer, 512) for conversation in short_conversations(8)]
    return LoraTraining(attach(load_base(tiny_model, dtype="float32"), RECIPE), rendered, [], RECIPE)


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


def test_activations_that_are_computed_twice_give_the_same_gradients(tiny_model: Path) -> None:
    kept, recomputed = make(tiny_model), make(tiny_model)
    recomputed._relief._recompute()
    for training in (kept, recomputed):
        training.run()
    for name, expected in trainable(kept._model).items():
        torch.testing.assert_close(trainable(recomputed._model)[name], expected, atol=1e-6, rtol=1e-5)


def test_a_single_conversation_that_does_not_fit_is_an_error() -> None:
    class Model:
        def gradient_checkpointing_enable(self, **_: object) -> None: ...

    def never(row: tuple[int, ...]) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        MemoryRelief(Model()).gradients(never, (1, 2, 3))
