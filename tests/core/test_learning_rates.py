import pytest

from core.learning_rates import default_rate
from core.recipe import Recipe


@pytest.mark.parametrize(
    ("parameters", "rate"), [(134_515_008, 1e-3), (500_000_000, 1e-3), (1_700_000_000, 5e-4), (8_030_000_000, 2e-4)]
)
def test_larger_bases_learn_slower(parameters: int, rate: float) -> None:
    assert default_rate(parameters, "lora") == default_rate(parameters, "qlora") == rate


def test_the_bundled_base_has_the_rate_of_a_plain_recipe() -> None:
    assert default_rate(134_515_008, "lora") == Recipe().learning_rate


def test_a_whole_model_learns_at_a_tenth_of_an_adapters_rate() -> None:
    assert default_rate(134_515_008, "full") == pytest.approx(1e-4)
