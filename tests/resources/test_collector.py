import gc

import pytest

from resources.collector import seldom_collected


class Loop:
    """Refers to itself, so that only the collector ends it."""

    alive = 0

    def __init__(self) -> None:
        self.itself = self
        Loop.alive += 1

    def __del__(self) -> None:
        Loop.alive -= 1


@pytest.mark.slow
def test_cycles_made_meanwhile_are_still_collected() -> None:
    with seldom_collected():
        for _ in range(300_000):
            Loop()
        assert Loop.alive < 200_000
    gc.collect()
    assert Loop.alive == 0


def test_all_is_as_before_when_the_body_ends_however_it_ends() -> None:
    before = gc.get_threshold()
    with pytest.raises(ZeroDivisionError):
        frozen_then_broken()
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)


def frozen_then_broken() -> None:
    with seldom_collected():
        assert gc.get_freeze_count() > 0
        assert 1 / 0
