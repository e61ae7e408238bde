import threading
from pathlib import Path

import pytest
import torch

from core.recipe import Recipe
from core.rendering import render
from tests.wrappers.tiny_model import short_conversations
from wrappers import row_workers
from wrappers.lora_model import attach, load_base, load_tokenizer, trainable
from wrappers.lora_training import LoraTraining
from wrappers.row_workers import RowWorkers

pytestmark = pytest.mark.slow  # trains a model of Transformers


@pytest.mark.parametrize(
    ("cores", "rows", "device", "workers"),
    [(2, 5, "cpu", 2), (8, 3, "cpu", 3), (1, 5, "cpu", 1), (8, 5, "cuda", 1), (2, 1, "cpu", 1)],
)
def test_there_are_as_many_workers_as_rows_and_cores_allow(
    monkeypatch: pytest.MonkeyPatch, cores: int, rows: int, device: str, workers: int
) -> None:
    monkeypatch.setattr(row_workers, "usable_cores", lambda: cores)
    assert RowWorkers(rows, device).count == workers


def test_rows_run_side_by_side_and_results_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_workers, "usable_cores", lambda: 2)
    together = threading.Barrier(2, timeout=10)

    def work(item: int) -> int:
        together.wait()  # breaks unless two are at work at once
        return item * 10

    with RowWorkers(4) as workers:
        assert workers.map(work, [1, 2, 3, 4]) == [10, 20, 30, 40]


def test_an_error_in_a_row_is_the_error_of_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_workers, "usable_cores", lambda: 2)
    with RowWorkers(2) as workers, pytest.raises(ZeroDivisionError):
        workers.map(lambda item: 1 // item, [1, 0])


def test_the_threads_of_torch_are_what_they_were_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_workers, "usable_cores", lambda: 6)
    before = torch.get_num_threads()
    with RowWorkers(2):
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == before


def test_the_number_of_workers_does_not_change_a_single_weight(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    tokenizer = load_tokenizer(tiny_model)
    recipe = Recipe(rank=4, alpha=8, epochs=1, pack_tokens=256, tokens_per_step=1024, learning_rate=5e-3)
    rendered = [render(conversation, tokenizer, 512) for conversation in short_conversations(16)]
    results = []
    for workers in (1, 3):
        monkeypatch.setattr(row_workers, "usable_cores", lambda cores=workers: cores)
        training = LoraTraining(attach(load_base(tiny_model), recipe), rendered, [], recipe)
        training.run()
        results.append(trainable(training._model))
    assert all(parameter.equal(results[1][name]) for name, parameter in results[0].items())
