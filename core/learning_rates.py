"""The learning rate where nobody names one: by the size of the base and by what is trained.

Adapters: Schulman et al., "LoRA Without Regret" (2025), and the rates of tinker_cookbook, which fall with the size and
hardly change with the rank; QLoRA's own 2e-4 (Dettmers et al. 2023) is that of 7 billion parameters. A whole model
takes a tenth of an adapter's.
"""

from core.recipe import Method

_UP_TO: tuple[tuple[float, float], ...] = ((0.5e9, 1e-3), (4e9, 5e-4))
_LARGER = 2e-4
_WHOLE_MODEL = 0.1


def default_rate(parameters: int, method: Method) -> float:
    """Peak rate for a base of that many parameters."""
    rate = next((rate for size, rate in _UP_TO if parameters <= size), _LARGER)
    return rate * _WHOLE_MODEL if method == "full" else rate
