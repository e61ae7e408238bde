from pathlib import Path
from typing import Any

import pytest
import torch

from core.conversation import Message
from tests.wrappers.tiny_model import short_conversations
from wrappers import generation
from wrappers.generation import Decoding, greedy
from wrappers.lora_model import load_base, load_tokenizer
from wrappers.probing import prompt_ids, stop_ids

pytestmark = pytest.mark.slow  # runs a model of Transformers


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Any:
    return load_base(tiny_model, dtype="float32")


@pytest.fixture(scope="module")
def prompts(tiny_model: Path) -> list[list[int]]:
    tokenizer = load_tokenizer(tiny_model)
    return [prompt_ids(conversation.messages, tokenizer) for conversation in short_conversations(7)]


def test_a_batch_answers_as_each_prompt_alone_and_as_transformers_does(model: Any, prompts: list[list[int]]) -> None:
    decoding = Decoding(12, frozenset({-1}), 0)
    together = greedy(model, prompts, decoding)
    assert len({len(prompt) for prompt in prompts}) > 3, "padding must be needed"
    for prompt, answer in zip(prompts, together, strict=True):
        assert greedy(model, [prompt], decoding) == [answer]
        theirs = model.generate(
            torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), max_new_tokens=12, do_sample=False,
            eos_token_id=-1, pad_token_id=0,
        )  # fmt: skip
        assert theirs[0, len(prompt) :].tolist() == answer


def test_an_answer_ends_at_its_stop_and_the_others_go_on(model: Any, prompts: list[list[int]]) -> None:
    free = greedy(model, prompts, Decoding(12, frozenset({-1}), 0))
    stop = free[0][3]
    stopped = greedy(model, prompts, Decoding(12, frozenset({stop}), 0))
    expected = [answer[: answer.index(stop) + 1] if stop in answer else answer for answer in free]
    assert stopped == expected
    assert len(stopped[0]) <= 4


def test_batches_are_put_back_in_the_order_asked(
    model: Any, prompts: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoding = Decoding(6, frozenset({-1}), 0)
    whole = greedy(model, prompts, decoding)
    monkeypatch.setattr(generation, "ROWS_ON_CPU", 2)
    assert greedy(model, prompts, decoding) == whole
    assert greedy(model, [], decoding) == []


def test_the_prompt_is_what_the_engine_is_given(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    text = tokenizer.decode(prompt_ids([Message(role="user", content="안녕")], tokenizer))
    assert text == "<|im_start|>user\n안녕<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.decode(list(stop_ids(tokenizer))) == "<|im_end|>"
