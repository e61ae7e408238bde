"""Fused layers must be PEFT's layers: same losses, same gradients, and nothing left behind."""

from pathlib import Path

import pytest
import torch

from core.recipe import Recipe
from core.rendering import Rendered, render
from tests.wrappers.tiny_model import short_conversations
from wrappers.fused_lora import fused
from wrappers.lora_model import attach, load_base, load_tokenizer, token_losses, trainable
from wrappers.packing import collate
from wrappers.row_workers import RowWorkers


@pytest.fixture
def conversations(tiny_model: Path) -> list[Rendered]:
    tokenizer = load_tokenizer(tiny_model)
    return [render(conversation, tokenizer, 512) for conversation in short_conversations(6)]


def moved_model(tiny_model: Path, **recipe: object):
    """fp32, so that rounding hides nothing, and B matrices that are not zero."""
    model = attach(load_base(tiny_model, dtype="float32"), Recipe(rank=4, alpha=8, **recipe))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in trainable(model).values():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model.train()


def loss_and_gradients(model, conversations):
    loss = token_losses(model, collate(conversations)).mean()
    return loss, torch.autograd.grad(loss, list(trainable(model).values()))


@pytest.mark.parametrize("targets", [{}, {"targets": ("q_proj", "v_proj")}, {"targets": ("o_proj", "down_proj")}])
def test_losses_and_gradients_equal_pefts(tiny_model, conversations, targets) -> None:
    model = moved_model(tiny_model, **targets)
    expected, theirs = loss_and_gradients(model, conversations)
    with fused(model):
        loss, ours = loss_and_gradients(model, conversations)
    torch.testing.assert_close(loss, expected, atol=1e-6, rtol=1e-6)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-7, rtol=1e-4)


def test_the_fused_function_is_what_runs_and_is_gone_afterwards(tiny_model, conversations) -> None:
    model = moved_model(tiny_model)
    with fused(model):
        assert "FusedLora" in _graph(token_losses(model, collate(conversations)).sum())
    assert "FusedLora" not in _graph(token_losses(model, collate(conversations)).sum())


def test_dropout_is_left_to_peft(tiny_model, conversations) -> None:
    model = moved_model(tiny_model, dropout=0.5)
    with fused(model):
        assert "FusedLora" not in _graph(token_losses(model, collate(conversations)).sum())


def test_rows_in_threads_do_not_get_each_others_answers(tiny_model, conversations) -> None:
    model = moved_model(tiny_model)
    rows = [[conversation] for conversation in conversations]
    with fused(model), RowWorkers(len(rows)) as workers, torch.no_grad():
        alone = [token_losses(model, collate(row)).sum() for row in rows]
        for _ in range(5):
            together = workers.map(lambda row: token_losses(model, collate(row)).sum(), rows)
            torch.testing.assert_close(torch.stack(together), torch.stack(alone))


def _graph(value: torch.Tensor) -> str:
    seen, waiting, names = set(), [value.grad_fn], []
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        names.append(type(node).__name__)
        waiting += [following for following, _ in node.next_functions]
    return " ".join(names)
