import json
from pathlib import Path

import pytest
import torch

from core.recipe import Recipe
from core.rendering import Rendered, render
from tests.wrappers.tiny_model import short_conversations
from wrappers.lora_model import (
    attach,
    load_adapter,
    load_base,
    load_tokenizer,
    pick_device,
    save_adapter,
    token_losses,
    trainable,
)
from wrappers.packing import collate

pytestmark = pytest.mark.slow  # trains a model of Transformers

RECIPE = Recipe(rank=4, alpha=8)


@pytest.fixture
def conversations(tiny_model: Path) -> list[Rendered]:
    tokenizer = load_tokenizer(tiny_model)
    return [render(conversation, tokenizer, 512) for conversation in short_conversations(4)]


@pytest.mark.parametrize(
    ("gpus", "rank", "device"), [(0, None, "cpu"), (0, "1", "cpu"), (1, None, "cuda"), (2, "1", "cuda:1")]
)
def test_each_process_has_a_gpu_of_its_own_where_there_are_any(
    monkeypatch: pytest.MonkeyPatch, gpus: int, rank: str | None, device: str
) -> None:
    _with_gpus(monkeypatch, gpus, rank)
    assert pick_device() == device


def test_more_processes_than_gpus_are_refused_with_the_setting_to_change(monkeypatch: pytest.MonkeyPatch) -> None:
    _with_gpus(monkeypatch, 1, "1")
    with pytest.raises(RuntimeError, match="found 1: lower FINETUNE_PROCESSES"):
        pick_device()


def _with_gpus(monkeypatch: pytest.MonkeyPatch, gpus: int, rank: str | None) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)


def moved_model(tiny_model: Path):
    """An fp32 model whose adapter does something: fresh B matrices are zero."""
    model = attach(load_base(tiny_model, dtype="float32"), RECIPE)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in trainable(model).values():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model


def test_a_packed_row_has_the_losses_of_its_conversations_alone(tiny_model, conversations) -> None:
    model = moved_model(tiny_model)
    with torch.no_grad():
        packed = token_losses(model, collate(conversations))
        alone = torch.cat([token_losses(model, collate([conversation])) for conversation in conversations])
    torch.testing.assert_close(packed, alone, atol=1e-5, rtol=1e-5)


def test_loss_and_gradients_are_those_of_a_plain_peft_forward(tiny_model, conversations) -> None:
    ours, plain = moved_model(tiny_model), moved_model(tiny_model)
    loss = token_losses(ours, collate(conversations)).mean()
    loss.backward()
    labels = sum(label != -100 for conversation in conversations for label in conversation.labels)
    expected = torch.zeros(())
    for conversation in conversations:
        answer = plain(input_ids=torch.tensor([conversation.input_ids]), labels=torch.tensor([conversation.labels]))
        expected = expected + answer.loss * sum(label != -100 for label in conversation.labels) / labels
    expected.backward()
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
    theirs = trainable(plain)
    for name, parameter in trainable(ours).items():
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, theirs[name].grad, atol=1e-6, rtol=1e-3, msg=name)


def test_the_base_is_frozen_in_bf16_and_the_adapter_is_fp32_on_every_linear_layer(tiny_model) -> None:
    model = attach(load_base(tiny_model), RECIPE)
    moving = trainable(model)
    assert {parameter.dtype for parameter in moving.values()} == {torch.float32}
    assert all(".lora_" in name for name in moving)
    assert len(moving) == 2 * 7 * 2  # layers, linear layers of each, A and B
    frozen = [parameter for name, parameter in model.named_parameters() if name not in moving]
    assert {parameter.dtype for parameter in frozen} == {torch.bfloat16}


def test_a_fresh_adapter_changes_nothing(tiny_model, conversations) -> None:
    base = load_base(tiny_model)
    with torch.no_grad():
        before = token_losses(base, collate(conversations))
        after = token_losses(attach(base, RECIPE), collate(conversations))
    torch.testing.assert_close(before, after, atol=0, rtol=0)


def test_equal_recipes_begin_with_equal_matrices(tiny_model) -> None:
    first = trainable(attach(load_base(tiny_model), RECIPE))
    torch.rand(5)  # whatever was drawn before
    second = trainable(attach(load_base(tiny_model), RECIPE))
    assert all(parameter.equal(second[name]) for name, parameter in first.items())


def test_a_saved_adapter_is_two_files_that_give_the_same_losses_and_name_no_path(
    tiny_model, conversations, tmp_path
) -> None:
    model = moved_model(tiny_model)
    save_adapter(model, tmp_path, "tiny")
    assert {path.name for path in tmp_path.iterdir()} == {"adapter_model.safetensors", "adapter_config.json"}
    assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == "tiny"
    assert str(tiny_model) not in (tmp_path / "adapter_config.json").read_text()
    again = load_adapter(load_base(tiny_model, dtype="float32"), tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(
            token_losses(again, collate(conversations)), token_losses(model, collate(conversations)), atol=0, rtol=0
        )
