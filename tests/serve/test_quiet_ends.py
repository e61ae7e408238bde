from types import SimpleNamespace
from typing import Any

import pytest

from serve.quiet_ends import QuietEnd

torch = pytest.importorskip("torch")


class Head:
    """What of vLLM's output head is touched: its slots, and the wrapper that multiplies them."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.lora_b_stacked = torch.zeros(2, 1, 16, 4)
        self.punica_wrapper = SimpleNamespace(
            add_lora_logits=lambda *_: self.asked.append("logits"),
            add_lora_embedding=lambda *_, **__: self.asked.append("embedding"),
            sampler_indices="those of the wrapper",
        )
        self.broken = False

    def set_lora(self, index: int, a: Any, b: Any) -> None:
        self.reset_lora(index)
        self.lora_b_stacked[index, 0, :8] = b
        if self.broken:
            raise RuntimeError("wrong shape")

    def reset_lora(self, index: int) -> None:
        self.lora_b_stacked[index] = 0


@pytest.fixture
def head() -> Head:
    made = Head()
    made.punica_wrapper = QuietEnd(made)
    return made


def ask(head: Head) -> list[str]:
    head.asked.clear()
    head.punica_wrapper.add_lora_logits(None, None)
    head.punica_wrapper.add_lora_embedding(None, None, None, add_input=True)
    return head.asked


def test_only_slots_with_weights_are_multiplied(head: Head) -> None:
    assert ask(head) == []
    head.set_lora(1, None, 0.5)
    assert ask(head) == ["logits", "embedding"]
    head.set_lora(0, None, 0.0)
    assert ask(head) == ["logits", "embedding"]
    head.reset_lora(1)
    assert ask(head) == []


def test_weights_of_a_write_that_broke_are_still_multiplied(head: Head) -> None:
    head.broken = True
    with pytest.raises(RuntimeError):
        head.set_lora(0, None, 0.5)
    assert ask(head) == ["logits", "embedding"]


def test_weights_that_were_there_before_are_seen() -> None:
    head = Head()
    head.set_lora(1, None, 0.5)
    head.punica_wrapper = QuietEnd(head)
    assert ask(head) == ["logits", "embedding"]


def test_all_else_is_the_wrappers_own(head: Head) -> None:
    assert head.punica_wrapper.sampler_indices == "those of the wrapper"
