"""Layers with folded adapters against plain sums, whatever is loaded, folded, forgotten and asked in whatever order."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.folding import FoldedLayer, FoldRefused, Folds, rounded
from serve.grouped_lora import GroupedLayer, Steps

torch = pytest.importorskip("torch")

RANK, SLOTS, INPUTS, OUTPUTS = 4, 2, 300, (64, 32)
KINDS = {"dtype": torch.bfloat16}


class Layer:
    """What of vLLM's linear layers is touched: a base of its own, and two slices with a slot for each adapter."""

    def __init__(self) -> None:
        self.output_slices = OUTPUTS
        self.weight = dice(sum(OUTPUTS), INPUTS, seed=1) / 8
        self.lora_a_stacked = tuple(torch.zeros(SLOTS, 1, RANK, INPUTS, **KINDS) for _ in OUTPUTS)
        self.lora_b_stacked = tuple(torch.zeros(SLOTS, 1, size, RANK, **KINDS) for size in OUTPUTS)

    def reset_lora(self, index: int) -> None:
        for stack in (*self.lora_a_stacked, *self.lora_b_stacked):
            stack[index] = 0

    def set_lora(self, index: int, a: list[Any], b: list[Any]) -> None:
        self.reset_lora(index)
        for number in range(len(OUTPUTS)):
            self.lora_a_stacked[number][index, 0], self.lora_b_stacked[number][index, 0] = a[number], b[number]

    def apply(self, x: Any, bias: Any = None) -> Any:
        return self._apply_lora_to_output(x, plain(self.weight)(x, bias))

    def _apply_lora_to_output(self, x: Any, output: Any) -> Any:
        raise AssertionError("vLLM's own operation, in a step that was seen")


class Wrapper:
    """vLLM's LoRA wrapper: the slots of the rows of a step."""

    def update_metadata(self, slots: list[int]) -> None:
        self.token_lora_indices = torch.tensor(slots)


class World:
    def __init__(self, pack: Any = None) -> None:
        self.wrapper, self.layer, self.adapters = Wrapper(), Layer(), dict[int, tuple[list[Any], list[Any]]]()
        self.steps = Steps(self.wrapper)
        grouped = GroupedLayer(self.layer, self.steps, plain)
        self.layer._apply_lora_to_output = grouped.apply
        self.folded = FoldedLayer(grouped, pack or plain)

    def load(self, slot: int, seed: int, scale: float = 1.0) -> None:
        a = [dice(RANK, INPUTS, seed=seed + n) / 8 for n in range(len(OUTPUTS))]
        b = [scale * dice(size, RANK, seed=seed + 10 + n) / 8 for n, size in enumerate(OUTPUTS)]
        self.layer.set_lora(slot, a, b)
        self.adapters[slot] = a, b

    def drop(self, slot: int) -> None:
        self.layer.reset_lora(slot)
        self.adapters.pop(slot, None)

    def step(self, slots: list[int]) -> None:
        """One step of the engine, and a look at every row of it."""
        self.wrapper.update_metadata(slots)
        x = dice(len(slots), INPUTS, seed=len(slots))
        found, base = self.layer.apply(x).float(), x.float() @ self.layer.weight.float().T
        for row, slot in enumerate(slots):
            expected = base[row] + self.added(slot, x[row].float())
            assert float((found[row] - expected).norm() / expected.norm()) < 0.02, (row, slot)
        if set(slots) == {-1}:
            assert torch.equal(found, plain(self.layer.weight)(x, None).float())

    def added(self, slot: int, row: Any) -> Any:
        a, b = self.adapters.get(slot, ([], []))
        if not a:
            return torch.zeros(sum(OUTPUTS))
        return torch.cat([row @ down.float().T @ up.float().T for down, up in zip(a, b, strict=True)])


def plain(weight: Any) -> Any:
    return lambda x, bias: torch.nn.functional.linear(x, weight, bias)


def dice(*shape: int, seed: int) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(torch.bfloat16)


def broken(weight: Any) -> Any:
    raise RuntimeError("no such operation")


def of_the_base_alone(weight: Any) -> Any:
    return plain(Layer().weight)


def twice(weight: Any) -> Any:
    return plain((2 * weight.float() - Layer().weight.float()).bfloat16())


def mixed_up(weight: Any) -> Any:
    return plain(weight.flip(0))


def not_a_number(weight: Any) -> Any:
    return plain(weight * float("nan"))


WRONG = [broken, of_the_base_alone, twice, mixed_up, not_a_number]
slots = st.integers(0, SLOTS - 1)
rows = st.lists(st.integers(-1, SLOTS - 1), min_size=1, max_size=6)
moves = st.one_of(
    st.tuples(st.just("load"), slots, st.integers(100, 103)),
    st.tuples(st.just("drop"), slots),
    st.tuples(st.just("fold"), slots),
    st.tuples(st.just("fail"), slots, st.sampled_from(WRONG)),
    st.tuples(st.just("forget"), slots),
    st.tuples(st.just("step"), rows),
)


@given(st.lists(moves, min_size=3, max_size=12))
@settings(max_examples=60, deadline=None)
def test_every_row_is_answered_by_its_own_adapter_whatever_was_folded_before(moves: list[tuple[Any, ...]]) -> None:
    kind = {"pack": plain}
    world = World(lambda weight: kind["pack"](weight))
    for slot in range(SLOTS):
        world.load(slot, seed=slot)
    for name, *what in moves:
        if name == "load":
            world.load(*what)
        elif name == "drop":
            world.drop(*what)
        elif name == "step":
            world.step(*what)
        elif name == "forget":
            world.folded.forget(*what)
        else:
            kind["pack"] = what[1] if name == "fail" else plain
            try:
                world.folded.fold(what[0], seed=0)
            except (FoldRefused, RuntimeError):
                assert name == "fail"
        for slot in range(-1, SLOTS):
            world.step([slot, slot])


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_an_operator_that_answers_otherwise_is_never_used(wrong: Any, scale: float) -> None:
    world = World(wrong)
    world.load(0, seed=1, scale=scale)
    with pytest.raises((FoldRefused, RuntimeError)):
        world.folded.fold(0, seed=0)
    assert not world.folded.folded(0)
    world.step([0, 0])


def test_a_step_of_one_folded_adapter_costs_one_product() -> None:
    world, asked = World(), list[int]()
    world.load(1, seed=1)
    world.folded._pack = lambda weight: lambda x, bias: asked.append(len(x)) or plain(weight)(x, bias)
    world.folded.fold(1, seed=0)
    asked.clear()
    world.step([1, 1, 1])
    world.step([1, -1, 1])
    assert asked == [3]


def test_a_fold_leaves_the_running_step_as_it_was() -> None:
    world = World()
    world.load(0, seed=1)
    world.load(1, seed=2)
    world.wrapper.update_metadata([0, 1, -1])
    before = world.steps.groups, world.steps.rows, world.steps.only
    world.folded.fold(1, seed=0)
    assert (world.steps.groups, world.steps.rows, world.steps.only) == before


@pytest.mark.parametrize("size", [0.1, 0.01])
def test_what_is_added_is_kept_on_average_where_rounding_to_the_nearest_would_drop_it(size: float) -> None:
    weight = dice(64, 4096, seed=1).float()
    added = size * 2**-8 * weight
    near, ours = (
        (weight + added).bfloat16().float() - weight,
        rounded(weight + added, torch.bfloat16, 3).float() - weight,
    )
    assert float((near * added).sum() / added.square().sum()) < 0.5
    assert float((ours * added).sum() / added.square().sum()) == pytest.approx(1, abs=0.15)
    assert torch.equal(rounded(weight, torch.bfloat16, 3).float(), weight)


def worker(*worlds: World) -> Folds:
    found = Folds()
    found._foldable = [world.folded for world in worlds]
    manager = SimpleNamespace(lora_index_to_id=[None, 7, None])
    found.model_runner = SimpleNamespace(lora_manager=SimpleNamespace(_adapter_manager=manager))
    return found


def test_a_worker_folds_a_few_layers_at_a_time_and_says_how_many_are_left() -> None:
    worlds = [World() for _ in range(4)]
    for world in worlds[:3]:  # the adapter has nothing for the last
        world.load(1, seed=1)
    found = worker(*worlds)
    assert [found.fold_some(7, 0.0)[0] for _ in range(4)] == [2, 1, 0, 0]
    found.unfold()
    assert [world.folded.folded(1) for world in worlds] == [False, False, False, True]


@pytest.mark.parametrize(("adapter", "pack", "says"), [(8, plain, "adapter 8"), (7, twice, "what the adapter adds")])
def test_a_fold_that_fails_leaves_no_layer_folded(adapter: int, pack: Any, says: str) -> None:
    worlds = [World(), World(), World(pack)]
    for world in worlds:
        world.load(1, seed=1)
    found = worker(*worlds)
    left, trouble = found.fold_some(adapter, 1.0)
    assert left == 0
    assert says in trouble
    assert not any(world.folded.folded(1) for world in worlds)


def test_memory_that_is_short_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))
    world = World()
    world.load(1, seed=1)
    assert "free memory" in worker(world).fold_some(7, 1.0)[1]


def test_without_the_grouped_operation_nothing_is_folded() -> None:
    assert "grouped LoRA operation" in worker().fold_some(7, 1.0)[1]
