from typing import get_args

import pytest

from core.error_classes import ErrorClass, advice, group_of


@pytest.mark.parametrize("error_class", get_args(ErrorClass))
def test_every_class_has_advice_for_its_version(error_class: str) -> None:
    said = advice(error_class, 7)
    assert len(said) > 30
    assert "vN" not in said
    assert "/N/" not in said


def test_older_clients_know_three_of_them() -> None:
    groups = {name: group_of(name) for name in get_args(ErrorClass)}
    assert set(groups.values()) == {"GPU_ERROR", "DATASET_ERROR", "UNKNOWN_ERROR"}
    assert groups["OUT_OF_MEMORY"] == "GPU_ERROR"


def test_what_nobody_classed_is_unknown() -> None:
    assert (group_of(None), advice("NEW_CLASS", 3)) == ("UNKNOWN_ERROR", advice("UNKNOWN_ERROR", 3))
