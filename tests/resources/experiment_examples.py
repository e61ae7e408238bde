"""Experiments over two promoted versions, and users who behave as told."""

from core.experiments import Design
from resources.experiments import Experiment, Served
from resources.store import Store
from tests.resources.examples import claimed, conclude

ARMS = ({"name": "a", "model": "v1", "weight": 0.5}, {"name": "b", "model": "v2", "weight": 0.5})


def design(**changes: object) -> Design:
    values = {"name": "trial", "arms": ARMS, "target_samples": 30, "success_metric": "rating"}
    return Design.model_validate({**values, **changes})


def two_versions(store: Store) -> None:
    """v1 and v2, both promoted; v2 is champion."""
    for id in ("one", "two"):
        conclude(store, claimed(store, id))


def started(store: Store, **changes: object) -> Experiment:
    two_versions(store)
    return store.experiments.add(design(**changes))


def units(experiment: Experiment, arm: str, n: int) -> list[str]:
    """The first n users whom the hash puts into this arm."""
    found = (f"user:{number}" for number in range(100_000))
    return [
        unit for _, unit in zip(range(n), (unit for unit in found if experiment.assigned(unit) == arm), strict=False)
    ]


def replies(
    experiment: Experiment, arm: str, users: int, *, rating: int | None = None, failed: bool = False, each: int = 1
) -> list[Served]:
    """`each` replies a user; ratings vary by one around the one given."""
    return [
        Served(
            experiment.id,
            unit,
            arm,
            user_id=unit.removeprefix("user:"),
            conversation_id=f"{arm}-{unit}-{turn}",
            seconds=None if failed else 1.0 + number % 3 / 10,
            length=None if failed else 20,
            failed=failed,
            rating=None if rating is None else max(1, min(5, rating - 1 + number % 3)),
        )
        for number, unit in enumerate(units(experiment, arm, users))
        for turn in range(each)
    ]
