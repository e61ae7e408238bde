from types import SimpleNamespace

import dagster as dg
import pytest

from assets.live import LiveProgress, in_words
from resources.progress import Progress


def progress(step: int, eta: float | None = 30.0) -> Progress:
    return Progress(step, 400, 2.0, 1e-4, 900.0, eta, "training")


@pytest.mark.parametrize(("eta", "words"), [(180.0, "120/400 eta 3m"), (42.4, "120/400 eta 42s"), (None, "120/400")])
def test_progress_in_words(eta: float | None, words: str) -> None:
    assert in_words(progress(120, eta)) == words


def test_at_most_one_observation_in_ten_seconds_and_the_last_one_always() -> None:
    now, logged, tags = [0.0], [], []
    context = SimpleNamespace(
        log_event=logged.append,
        asset_key=dg.AssetKey("lora_adapter"),
        run=SimpleNamespace(run_id="r"),
        instance=SimpleNamespace(add_run_tags=lambda run_id, new: tags.append(new)),
    )
    live = LiveProgress(context, clock=lambda: now[0])  # type: ignore[arg-type]
    for second in range(100):
        now[0] = float(second)
        live(progress(second))
    live(progress(400))
    steps = [event.metadata["step"].value for event in logged]
    assert steps == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 400]
    assert tags[-1] == {"whetstone/progress": "400/400 eta 30s"}
