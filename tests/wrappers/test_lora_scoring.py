import math
from pathlib import Path

import pytest
import torch

from core.recipe import Recipe
from core.rendering import IGNORED, Rendered, render
from tests.wrappers.tiny_model import short_conversations
from wrappers.lora_model import attach, load_base, load_tokenizer, save_adapter, token_losses, trainable
from wrappers.lora_scoring import BASE, AdapterScorer, mean_losses
from wrappers.packing import collate

pytestmark = pytest.mark.slow  # trains a model of Transformers


@pytest.fixture(scope="module")
def conversations(tiny_model: Path) -> list[Rendered]:
    tokenizer = load_tokenizer(tiny_model)
    return [render(conversation, tokenizer, 512) for conversation in short_conversations(6)]


def adapter(tiny_model: Path, folder: Path, scale: float) -> Path:
    model = attach(load_base(tiny_model), Recipe(rank=4, alpha=8))
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in trainable(model).items():
            if ".lora_B." in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    folder.mkdir()
    save_adapter(model, folder, "tiny")
    return folder


def test_means_are_those_of_each_conversation_alone(tiny_model: Path, conversations: list[Rendered]) -> None:
    model = load_base(tiny_model, dtype="float32")
    with torch.no_grad():
        expected = [float(token_losses(model, collate([conversation])).mean()) for conversation in conversations]
    assert mean_losses(model, conversations, 256) == pytest.approx(expected, abs=1e-5)


def test_a_conversation_without_a_label_has_no_loss(tiny_model: Path, conversations: list[Rendered]) -> None:
    masked = Rendered((1, 2, 3), (IGNORED,) * 3)
    losses = mean_losses(load_base(tiny_model), [masked, conversations[0]], 256)
    assert math.isnan(losses[0])
    assert math.isfinite(losses[1])


def test_each_name_answers_for_its_own_weights(tiny_model: Path, conversations: list[Rendered], tmp_path: Path) -> None:
    paths = {
        "candidate": adapter(tiny_model, tmp_path / "v2", 0.3),
        "champion": adapter(tiny_model, tmp_path / "v1", 0.6),
    }
    both = AdapterScorer(load_base(tiny_model), paths, 256)
    plain = mean_losses(load_base(tiny_model), conversations, 256)
    for _ in range(2):  # whatever was asked before
        assert both.losses(BASE, conversations) == pytest.approx(plain, abs=1e-6)
        for name, path in paths.items():
            alone = AdapterScorer(load_base(tiny_model), {name: path}, 256).losses(name, conversations)
            assert both.losses(name, conversations) == pytest.approx(alone, abs=1e-6)
            assert alone != pytest.approx(plain, abs=1e-3)


def test_an_adapter_of_zeros_is_seen_as_unchanged(tiny_model: Path, tmp_path: Path) -> None:
    paths = {
        "candidate": adapter(tiny_model, tmp_path / "v2", 0.0),
        "champion": adapter(tiny_model, tmp_path / "v1", 0.1),
    }
    scorer = AdapterScorer(load_base(tiny_model), paths, 256)
    assert not scorer.changed("candidate")
    assert scorer.changed("champion")
