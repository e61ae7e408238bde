"""What an experiment may look like."""

import pytest
from pydantic import ValidationError

from core.experiments import Arm, Design
from tests.core.arm_examples import design


def arms(*given: tuple[str, str, float]) -> list[dict[str, object]]:
    return [{"name": name, "model": model, "weight": weight} for name, model, weight in given]


def test_weights_may_miss_one_by_a_hundredth() -> None:
    assert design(arms=arms(("a", "v1", 0.7), ("b", "v2", 0.3))).weights == (0.7, 0.3)
    assert design(arms=arms(("a", "v1", 0.333), ("b", "v2", 0.333), ("c", "base", 0.333)))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"arms": arms(("a", "v1", 0.7), ("b", "v2", 0.7))}, "sum to 1"),
        ({"arms": arms(("a", "v1", 0.5), ("b", "v1", 0.5))}, "model of its own"),
        ({"arms": arms(("a", "v1", 0.5), ("a", "v2", 0.5))}, "name of its own"),
        ({"arms": arms(("a", "v1", 1.0))}, "arms"),
        ({"arms": arms(("a", "v1", 0.0), ("b", "v2", 1.0))}, "weight"),
        ({"arms": arms(("a", "agents", 0.5), ("b", "v2", 0.5))}, "teacher, agent or a version"),
        ({"arms": arms(("a", "v0", 0.5), ("b", "v2", 0.5))}, "such as v3"),
        ({"name": "a name"}, "name"),
        ({"name": ""}, "name"),
        ({"target_samples": 29}, "target_samples"),
        ({"coverage": 1.01}, "coverage"),
        ({"success_metric": "length"}, "success metric"),
        ({"success_metric": "clicks"}, "success_metric"),
        ({"minimum_effect": 0}, "minimum_effect"),
    ],
)
def test_what_cannot_be_judged_is_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        design(**changes)


def test_an_arm_knows_its_version() -> None:
    assert Arm(name="a", model="v12", weight=0.5).version == 12
    assert {Arm(name="a", model=name, weight=0.5).version for name in ("base", "teacher", "agent")} == {None}


def test_the_first_arm_is_the_control() -> None:
    assert design().control.name == "a"
    assert design().arm("b") == Design.model_validate(design().model_dump()).arms[1]
    assert design().arm("c") is None
