import pytest

from core.recipe import Recipe
from wrappers.plan import learning_rate, plan, replayed

LENGTHS = [20 + at % 30 for at in range(100)]
REPLAY = [25] * 40
RECIPE = Recipe(epochs=3, replay_share=0.2, pack_tokens=256, tokens_per_step=512)


def of_epoch(steps: list, epoch: int) -> list[int]:
    return [index for step in steps if step.epoch == epoch for row in step.rows for index in row]


def test_every_epoch_holds_every_new_conversation_once() -> None:
    steps = plan(LENGTHS, REPLAY, RECIPE)
    for epoch in range(3):
        assert sorted(index for index in of_epoch(steps, epoch) if index < 100) == list(range(100))


def test_the_replay_share_is_that_of_an_epoch_and_none_is_replayed_twice_in_it() -> None:
    replay = [index for index in of_epoch(plan(LENGTHS, REPLAY, RECIPE), 0) if index >= 100]
    assert len(replay) == len(set(replay)) == 25
    assert len(replay) / (len(replay) + 100) == pytest.approx(0.2)


def test_epochs_differ_in_order_and_in_what_they_replay() -> None:
    steps = plan(LENGTHS, REPLAY, RECIPE)
    assert of_epoch(steps, 0) != of_epoch(steps, 1)
    assert {i for i in of_epoch(steps, 0) if i >= 100} != {i for i in of_epoch(steps, 1) if i >= 100}


def test_the_same_seed_gives_the_same_plan_and_another_seed_another() -> None:
    assert plan(LENGTHS, REPLAY, RECIPE) == plan(LENGTHS, REPLAY, RECIPE)
    assert plan(LENGTHS, REPLAY, RECIPE) != plan(LENGTHS, REPLAY, RECIPE.model_copy(update={"seed": 1}))


def test_steps_are_about_as_large_as_asked_and_none_is_a_crumb() -> None:
    lengths = [*LENGTHS, *REPLAY]
    sizes = [sum(lengths[i] for row in step.rows for i in row) for step in plan(LENGTHS, REPLAY, RECIPE)]
    assert all(440 <= size <= 580 for size in sizes), sizes


def test_rows_of_a_step_are_nearly_equal_so_that_none_is_waited_for() -> None:
    lengths = [*LENGTHS, *REPLAY]
    for step in plan(LENGTHS, REPLAY, RECIPE):
        sizes = [sum(lengths[index] for index in row) for row in step.rows]
        assert max(sizes) - min(sizes) <= max(lengths)


def test_one_conversation_alone_makes_a_plan() -> None:
    assert [step.rows for step in plan([30], [], Recipe(epochs=2, replay_share=0.2))] == [((0,),), ((0,),)]


@pytest.mark.parametrize(
    ("new", "pool", "share", "expected"),
    [(80, 100, 0.2, 20), (80, 10, 0.2, 10), (80, 100, 0.0, 0), (1, 100, 0.5, 1), (80, 0, 0.2, 0)],
)
def test_replay_is_bounded_by_its_pool(new: int, pool: int, share: float, expected: int) -> None:
    assert replayed(new, pool, share) == expected


def test_the_rate_warms_up_to_its_peak_and_falls_to_nearly_nothing() -> None:
    recipe = Recipe(learning_rate=1e-3, warmup_share=0.1)
    rates = [learning_rate(step, 100, recipe) for step in range(100)]
    assert rates[:10] == sorted(rates[:10])
    assert max(rates) == rates[10] == pytest.approx(1e-3)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 1e-6


def test_a_constant_schedule_stays_at_its_peak() -> None:
    recipe = Recipe(learning_rate=1e-3, warmup_share=0.0, schedule="constant")
    assert {learning_rate(step, 10, recipe) for step in range(10)} == {1e-3}
