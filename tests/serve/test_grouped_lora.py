"""LoRA by groups of rows against vLLM's own operation, on layers without an engine around them."""

from types import SimpleNamespace
from typing import Any

import pytest

from serve import grouped_lora
from serve.grouped_lora import Group, groups_of, install

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow  # vLLM is imported

RANK, SLOTS, INPUTS = 8, 4, 48


@pytest.fixture(autouse=True)
def _layers_count_as_vllms(monkeypatch: pytest.MonkeyPatch) -> None:
    import vllm.lora.layers.base_linear as base_linear

    monkeypatch.setattr(base_linear, "BaseLinearLayerWithLoRA", Layer)


class Layer:
    """What of vLLM's linear layers the operation touches, with vLLM's own operation behind it."""

    def __init__(self, wrapper: Any, outputs: tuple[int, ...]) -> None:
        self.punica_wrapper, self.output_slices = wrapper, outputs
        kinds = {"dtype": torch.bfloat16}
        self.lora_a_stacked = tuple(torch.zeros(SLOTS, 1, RANK, INPUTS, **kinds) for _ in outputs)
        self.lora_b_stacked = tuple(torch.zeros(SLOTS, 1, size, RANK, **kinds) for size in outputs)

    def reset_lora(self, index: int) -> None:
        for stack in (*self.lora_a_stacked, *self.lora_b_stacked):
            stack[index] = 0

    def set_lora(self, index: int, a: Any, b: Any) -> None:
        self.reset_lora(index)
        for number in range(len(self.output_slices)):
            self.lora_a_stacked[number][index, 0], self.lora_b_stacked[number][index, 0] = a[number], b[number]

    def _apply_lora_to_output(self, x: Any, output: Any) -> Any:
        stacks = (self.lora_a_stacked, self.lora_b_stacked, 1.0, self.output_slices)
        self.punica_wrapper.add_lora_linear(output, x, *stacks)
        return output


def wrapper() -> Any:
    from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

    return PunicaWrapperCPU(64, 8, "cpu")


def step(wrapper: Any, slots: list[int]) -> None:
    """A step of the engine whose rows belong to these slots; slot n holds the adapter n + 1."""
    from vllm.lora.layers import LoRAMapping

    ids = tuple(slot + 1 if slot >= 0 else 0 for slot in slots)
    wrapper.update_metadata(LoRAMapping(ids, ids, is_prefill=False), [1, 2, 3, None], SLOTS, 100)


def dice(*shape: int, seed: int = 0) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(torch.bfloat16)


def fill(layer: Layer, slot: int, seed: int) -> None:
    outputs = layer.output_slices
    a = [dice(RANK, INPUTS, seed=seed + n) / 8 for n in range(len(outputs))]
    layer.set_lora(slot, a, [dice(size, RANK, seed=seed + 10 + n) / 3 for n, size in enumerate(outputs)])


@pytest.mark.parametrize("outputs", [(40,), (32, 16, 16)])
@pytest.mark.parametrize("slots", [[0], [-1], [0, 0, 1, 1], [0, -1, 2, 0, -1, 1], [-1, -1, 1]])
def test_it_adds_what_stock_adds_and_leaves_other_rows_alone(outputs: tuple[int, ...], slots: list[int]) -> None:
    own, plain = wrapper(), wrapper()
    ours, stock = Layer(own, outputs), Layer(plain, outputs)
    assert len(install(SimpleNamespace(modules={"layer": ours}))) == 1
    for layer in (ours, stock):
        for slot in range(3):
            fill(layer, slot, seed=100 * slot)
    step(own, slots)
    step(plain, slots)
    x, given = dice(len(slots), INPUTS), dice(len(slots), sum(outputs), seed=7)

    found = ours._apply_lora_to_output(x, given.clone())
    expected = stock._apply_lora_to_output(x, given.clone())

    torch.testing.assert_close(found.float(), expected.float(), atol=0.05, rtol=0.02)
    untouched = [row for row, slot in enumerate(slots) if slot < 0]
    assert torch.equal(found[untouched], given[untouched])
    assert all(not torch.equal(found[row], given[row]) for row, slot in enumerate(slots) if slot >= 0)


def test_rows_without_an_adapter_stay_clean_even_when_the_last_slot_is_taken() -> None:
    own = wrapper()
    layer = Layer(own, (40,))
    install(SimpleNamespace(modules={"layer": layer}))
    fill(layer, SLOTS - 1, seed=1)
    step(own, [0, -1])
    given = dice(2, 40)

    assert torch.equal(layer._apply_lora_to_output(dice(2, INPUTS), given.clone())[1], given[1])


def test_a_slot_that_is_filled_again_answers_with_the_new_adapter() -> None:
    own = wrapper()
    layer = Layer(own, (40,))
    install(SimpleNamespace(modules={"layer": layer}))
    step(own, [0])
    x, given = dice(1, INPUTS), torch.zeros(1, 40, dtype=torch.bfloat16)
    said = []
    for seed in (1, 2):
        fill(layer, 0, seed)
        said.append(layer._apply_lora_to_output(x, given.clone()))
    layer.reset_lora(0)

    assert not torch.equal(*said)
    assert torch.equal(layer._apply_lora_to_output(x, given.clone()), given)


def test_stock_stays_where_the_self_test_finds_another_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    own = wrapper()
    layer = Layer(own, (40,))
    monkeypatch.setattr(grouped_lora, "groups_of", lambda slots: [Group(1, slice(0, len(slots)))])

    with pytest.raises(ValueError, match="expected the answer of vLLM's own operation"):
        install(SimpleNamespace(modules={"layer": layer}))

    assert layer._apply_lora_to_output.__func__ is Layer._apply_lora_to_output
    assert not any(torch.any(stack) for stack in (*layer.lora_a_stacked, *layer.lora_b_stacked))


def broken(rows: Any) -> Any:
    raise RuntimeError("no such operation")


@pytest.mark.parametrize("fault", [broken, lambda rows: rows.fill_(float("nan"))])
def test_a_self_test_that_breaks_leaves_stock_and_no_weights(fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = Layer(wrapper(), (40,))
    stock = layer._apply_lora_to_output
    monkeypatch.setattr(layer, "_apply_lora_to_output", lambda x, output: fault(stock(x, output)))
    patched = layer._apply_lora_to_output
    with pytest.raises((RuntimeError, ValueError)):
        install(SimpleNamespace(modules={"layer": layer}))

    assert layer._apply_lora_to_output is patched
    assert not any(torch.any(stack) for stack in (*layer.lora_a_stacked, *layer.lora_b_stacked))


def test_a_step_it_did_not_see_is_left_to_stock() -> None:
    own = wrapper()
    layer = Layer(own, (40,))
    install(SimpleNamespace(modules={"layer": layer}))
    fill(layer, 0, seed=1)
    step(own, [0, 0, 0])
    own._token_lora_indices[:2], own.indices_len[0] = 0, 2
    given = torch.zeros(2, 40, dtype=torch.bfloat16)

    assert torch.any(layer._apply_lora_to_output(dice(2, INPUTS), given))


def test_rows_of_one_slot_that_lie_together_are_a_slice() -> None:
    groups = groups_of(torch.tensor([1, 1, -1, 0, 1]))

    assert [group.slot for group in groups] == [1, 0]
    assert groups[0].rows.tolist() == [0, 1, 4]
    assert groups[1].rows == slice(3, 4)
    assert groups_of(torch.tensor([-1, -1])) == []
