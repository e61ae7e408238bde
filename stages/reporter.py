"""Steps of a training as progress in the store."""

import time

from resources.progress import Progress
from resources.trainer_guard import TrainerGuard
from wrappers.training_outcome import StepReport

PROGRESS_SECONDS = 1.0


class Reporter:
    """Writes steps as progress, at most one a second; always the last, and those after which was validated."""

    def __init__(self, guard: TrainerGuard) -> None:
        self._guard = guard
        self._written = float("-inf")

    def __call__(self, report: StepReport) -> None:
        now = time.monotonic()
        rare = report.step == report.total_steps or report.validation_loss is not None
        if now - self._written < PROGRESS_SECONDS and not rare:
            return
        self._written = now
        self._guard.report(
            Progress(
                step=report.step,
                total_steps=report.total_steps,
                loss=report.loss,
                learning_rate=report.learning_rate,
                tokens_per_second=report.tokens_per_second,
                eta_seconds=report.eta_seconds,
                stage="training",
                validation_loss=report.validation_loss,
            )
        )
