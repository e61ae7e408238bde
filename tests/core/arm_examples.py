"""Arms whose users behave as told."""

from datetime import UTC, datetime

import numpy as np

from core.arm_figures import ArmFigures, Sums
from core.experiments import Arm, Design, Window

NOW = datetime(2026, 1, 15, tzinfo=UTC)
WINDOW = Window(datetime(2026, 1, 1, tzinfo=UTC), NOW)


def design(**changes: object) -> Design:
    arms = (Arm(name="a", model="v1", weight=0.5), Arm(name="b", model="v2", weight=0.5))
    values = {"name": "trial", "arms": arms, "target_samples": 500, "success_metric": "rating"}
    return Design.model_validate({**values, **changes})


def arm(
    name: str,
    users: int = 500,
    rating: float = 3.5,
    errors: float = 0.0,
    latency: float = 1.0,
    seed: int = 0,
    exposed: int | None = None,
) -> ArmFigures:
    """Three replies a user, one of them rated."""
    random = np.random.default_rng([seed, ord(name[0])])
    replies, once = np.full(users, 3.0), np.ones(users)
    return ArmFigures(
        name,
        exposed if exposed is not None else users,
        {
            "rating": Sums(random.normal(rating, 1.0, users), once),
            "latency": Sums(random.normal(3 * latency, 0.3, users), replies),
            "errors": Sums(random.binomial(3, errors, users).astype(float), replies),
            "empty": Sums(np.zeros(users), replies),
        },
    )
