"""What a training says: of each step, at its end, and why it ended before."""

from dataclasses import dataclass


class TrainingImpossible(ValueError):
    """The data cannot be trained on: nothing in it, or nothing in it is a label."""


class TrainingFailed(RuntimeError):
    """Training went wrong in a way that must not be published: loss not finite, or adapter unchanged."""


class TrainingInterrupted(Exception):
    """Training was asked to stop and has saved where it is."""

    def __init__(self, step: int, total: int) -> None:
        super().__init__(f"Stopped after step {step} of {total}; the checkpoint is saved, start it again to go on")
        self.step = step


@dataclass(frozen=True)
class StepReport:
    """One step: `loss` in nats per label token, speed in useful tokens (context and labels, no padding) a second.

    `validation_loss` where it was measured after this step.
    """

    step: int
    total_steps: int
    loss: float
    learning_rate: float
    tokens_per_second: float
    eta_seconds: float
    validation_loss: float | None = None


@dataclass(frozen=True)
class TrainingResult:
    """What a finished training says of itself; `seconds` and speed count this process only.

    `validation_loss` is that of the weights that were taken; None where it was not measured.
    """

    steps: int
    tokens: int
    first_loss: float
    final_loss: float
    seconds: float
    tokens_per_second: float
    learning_rate: float
    validation_loss: float | None = None
