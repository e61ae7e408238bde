from types import SimpleNamespace

import pytest
import torch

from serve.vllm_compat import LoraSlots


class Layer:
    """The part of vLLM's LoRA layers that holds the slots."""

    def __init__(self, slots: int) -> None:
        self.lora_a_stacked = (torch.zeros(slots, 1, 4, 8),)
        self.lora_b_stacked = (torch.zeros(slots, 1, 8, 4), torch.zeros(slots, 1, 8, 4))

    def reset_lora(self, index: int) -> None:
        for stack in (*self.lora_a_stacked, *self.lora_b_stacked):
            stack[index] = 0


def worker(slots: int = 3, device: str = "cpu") -> tuple[LoraSlots, SimpleNamespace, list[Layer]]:
    layers = [Layer(slots), Layer(slots)]
    manager = SimpleNamespace(
        modules=dict(enumerate([*layers, object()])), lora_index_to_id=[None] * slots, lora_slots=slots
    )
    found = LoraSlots()
    found.device = SimpleNamespace(type=device)
    found.model_runner = SimpleNamespace(lora_manager=SimpleNamespace(_adapter_manager=manager))
    return found, manager, layers


def test_full_slots_before_an_empty_last_one_are_safe() -> None:
    found, manager, layers = worker()
    manager.lora_index_to_id[:2] = [1, 2]
    layers[0].lora_b_stacked[0][:2] = 1.0
    assert found.last_lora_slot_is_empty()


def test_an_adapter_in_the_last_slot_is_seen() -> None:
    found, manager, _ = worker()
    manager.lora_index_to_id[-1] = 7
    assert not found.last_lora_slot_is_empty()


def test_weights_that_a_removed_adapter_left_in_the_last_slot_are_seen_and_wiped() -> None:
    found, _, layers = worker()
    layers[1].lora_b_stacked[1][-1, 0, 3, 3] = 1e-6
    assert not found.last_lora_slot_is_empty()
    found.empty_last_lora_slot()
    assert found.last_lora_slot_is_empty()


def test_an_adapter_that_stands_in_the_last_slot_is_not_wiped_under_its_requests() -> None:
    found, manager, layers = worker()
    manager.lora_index_to_id[-1] = 7
    layers[0].lora_b_stacked[0][-1] = 1.0
    found.empty_last_lora_slot()
    assert torch.any(layers[0].lora_b_stacked[0][-1])


def test_a_vllm_whose_layers_we_do_not_know_is_not_taken_for_safe() -> None:
    found, manager, _ = worker()
    manager.modules = {}
    assert not found.last_lora_slot_is_empty()


@pytest.mark.parametrize("slots", [1, 2])
def test_other_devices_read_no_slot_for_rows_without_an_adapter(slots: int) -> None:
    found, manager, _ = worker(slots, "cuda")
    manager.lora_index_to_id[-1] = 7
    assert found.last_lora_slot_is_empty()
