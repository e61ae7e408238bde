"""What Dagster's pages show of a training while it goes on."""

import time
from collections.abc import Callable

import dagster as dg

from assets.step import PROGRESS_TAG
from resources.progress import Progress

SECONDS_BETWEEN = 10.0


class LiveProgress:
    """Called with each report: an observation and a run tag, rarely enough for Dagster's event log."""

    def __init__(self, context: dg.AssetExecutionContext, clock: Callable[[], float] = time.monotonic) -> None:
        self._context = context
        self._clock = clock
        self._shown_at = float("-inf")

    def __call__(self, progress: Progress) -> None:
        now = self._clock()
        if now - self._shown_at < SECONDS_BETWEEN and progress.step < progress.total_steps:
            return
        self._shown_at = now
        context = self._context
        context.log_event(dg.AssetObservation(asset_key=context.asset_key, metadata=_figures(progress)))
        context.instance.add_run_tags(context.run.run_id, {PROGRESS_TAG: in_words(progress)})


def in_words(progress: Progress) -> str:
    """Such as `120/400 eta 3m`."""
    eta = progress.eta_seconds
    left = "" if eta is None else f" eta {eta / 60:.0f}m" if eta >= 90 else f" eta {eta:.0f}s"
    return f"{progress.step}/{progress.total_steps}{left}"


def _figures(progress: Progress) -> dict[str, int | float]:
    figures: dict[str, int | float | None] = {
        "step": progress.step,
        "total_steps": progress.total_steps,
        "loss": progress.loss,
        "learning_rate": progress.learning_rate,
        "tokens_per_second": progress.tokens_per_second,
        "eta_seconds": progress.eta_seconds,
    }
    return {name: value for name, value in figures.items() if value is not None}
