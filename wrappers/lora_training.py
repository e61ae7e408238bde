"""The training loop: packed rows in, adapter weights out, exactly resumable at every step."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from core.recipe import Recipe
from core.rendering import IGNORED, Rendered
from wrappers.checkpoints import METRIC, MOMENTS, Checkpointing, TrainingState
from wrappers.early_stopping import EarlyStopping
from wrappers.fused_lora import fused
from wrappers.lora_model import differs, token_losses, trainable
from wrappers.memory_relief import MemoryRelief
from wrappers.packing import collate
from wrappers.plan import Step, learning_rate, plan
from wrappers.ranks import ALONE, Ranks
from wrappers.row_workers import RowWorkers
from wrappers.training_clock import TrainingClock
from wrappers.training_outcome import StepReport, TrainingFailed, TrainingInterrupted, TrainingResult
from wrappers.training_soundness import demand_labels, demand_sound

if TYPE_CHECKING:
    import torch
    from peft import PeftModel


def optimizer_options(recipe: Recipe, device: str) -> dict[str, Any]:
    """What AdamW is told; one kernel for all parameters where that saves launches."""
    return {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay, "fused": device == "cuda"}


class LoraTraining:
    """One training of what moves in `model` on `conversations` with a share of `replay` mixed in.

    With `validation`, and a patience in the recipe, it may stop early; of several `ranks` each computes some rows.
    """

    def __init__(
        self,
        model: "PeftModel",
        conversations: Sequence[Rendered],
        replay: Sequence[Rendered],
        recipe: Recipe,
        validation: Sequence[Rendered] = (),
        ranks: Ranks = ALONE,
    ) -> None:
        import torch

        demand_labels(conversations)
        self._model = model
        self._recipe = recipe
        self._conversations = [*conversations, *replay]
        self._labels = [sum(label != IGNORED for label in one.labels[1:]) for one in self._conversations]
        self._stopping = EarlyStopping(validation, recipe.patience, recipe.pack_tokens)
        self._ranks = ranks
        self._relief = MemoryRelief(model, recomputes=recipe.gradient_checkpointing)
        self._steps = plan([len(c.input_ids) for c in conversations], [len(c.input_ids) for c in replay], recipe)
        self._parameters = trainable(model)
        self._device = next(iter(self._parameters.values())).device
        self._start = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}
        self._optimizer = torch.optim.AdamW(self._parameters.values(), **optimizer_options(recipe, self._device.type))
        self._done = 0
        self._losses: list[float] = []

    @property
    def total_steps(self) -> int:
        return len(self._steps)

    def run(
        self,
        *,
        checkpointing: Checkpointing | None = None,
        on_step: Callable[[StepReport], None] = lambda report: None,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> TrainingResult:
        """Train to the end; TrainingInterrupted after saving when `interrupted` says so between two steps."""
        self._model.train()
        clock = TrainingClock([self._tokens(step) for step in self._steps[self._done :]])
        saved = time.monotonic()
        with fused(self._model), RowWorkers(self._rows_at_once(), self._device.type, self._ranks.count) as workers:
            for step in self._steps[self._done :]:
                if self._stopping.over:
                    break
                if self._ranks.any(interrupted(), self._device):
                    self._save(checkpointing)
                    raise TrainingInterrupted(self._done, self.total_steps)
                rate = learning_rate(self._done, self.total_steps, self._recipe)
                loss = self._one_step(step, rate, workers)
                self._done += 1
                self._losses.append(loss)
                looked = self._look()
                speed, eta = clock.tick()
                validated = self._stopping.losses[-1] if looked else None
                on_step(StepReport(self._done, self.total_steps, loss, rate, speed, eta, validated))
                if checkpointing and (looked or time.monotonic() - saved >= checkpointing.seconds):
                    self._save(checkpointing)
                    saved = time.monotonic()
        if not differs(self._model, self._start):
            raise TrainingFailed(f"Expected the adapter to change in {self.total_steps} steps, found it unchanged")
        self._stopping.take_best(self._parameters)
        self._model.eval()
        return self._result(clock)

    def state(self) -> TrainingState:
        """Weights, moments and position; the schedule and the data order follow from the position."""
        tensors = {f"weight.{name}": parameter for name, parameter in self._parameters.items()}
        for name, parameter in self._parameters.items():
            moments = self._optimizer.state.get(parameter, {})
            tensors |= {f"{moment}.{name}": moments[moment] for moment in MOMENTS if moment in moments}
        tensors |= self._stopping.tensors()
        metrics = {"loss": self._losses[-1]} if self._losses else {}
        if self._stopping.losses and self._ends_epoch(self._done):
            metrics[METRIC] = self._stopping.losses[-1]
        figures = {
            "losses": self._losses,
            "validation_losses": self._stopping.losses,
            "learning_rate": self._recipe.learning_rate,
        }
        return TrainingState(self._done, dict(tensors), figures, metrics)

    def restore(self, state: TrainingState) -> None:
        """Go on from `state`, which must come from the same plan."""
        import torch

        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(state.tensors[f"weight.{name}"])
                kept = [moment for moment in MOMENTS if f"{moment}.{name}" in state.tensors]
                if state.step and kept:
                    moments = {moment: state.tensors[f"{moment}.{name}"].to(parameter.device) for moment in kept}
                    # a fused AdamW counts its steps where the parameters are
                    done = torch.tensor(float(state.step), device=parameter.device)
                    self._optimizer.state[parameter] = {"step": done, **moments}
        self._done = state.step
        self._losses = list(state.figures["losses"])
        self._stopping.restore(state.figures["validation_losses"], state.tensors)

    def _one_step(self, step: Step, rate: float, workers: RowWorkers) -> float:
        import torch

        # seeded by position, so that dropout after a resume is what it would have been
        torch.manual_seed(self._recipe.seed + self._done)
        labels = sum(self._labels[index] for row in step.rows for index in row)
        mine = [row for row in self._ranks.mine(step.rows) if any(self._labels[index] for index in row)]
        found = workers.map(lambda row: self._relief.gradients(partial(self._row, labels), row), mine)
        # summed in their order, whichever row was done first: the same data give the same weights
        gradients = [
            sum((theirs[index] for _, theirs in found), torch.zeros_like(parameter))
            for index, parameter in enumerate(self._parameters.values())
        ]
        loss, gradients = self._ranks.summed(sum(loss for loss, _ in found), gradients)
        for parameter, gradient in zip(self._parameters.values(), gradients, strict=True):
            parameter.grad = gradient
        norm = torch.nn.utils.clip_grad_norm_(self._parameters.values(), self._recipe.gradient_clip)
        demand_sound(self._losses, loss, float(norm), total=self.total_steps, recipe=self._recipe)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        return loss

    def _row(self, labels: int, row: tuple[int, ...]) -> "tuple[float, tuple[torch.Tensor, ...]]":
        """This row's part of the loss of the step, and its gradients."""
        import torch

        batch = collate([self._conversations[index] for index in row], self._device)
        loss = token_losses(self._model, batch).sum() / labels
        return float(loss.detach()), torch.autograd.grad(loss, list(self._parameters.values()))

    def _look(self) -> bool:
        """Whether the validation loss was measured: at the end of each epoch, where there is a patience."""
        if not (self._stopping.looks and self._ends_epoch(self._done)):
            return False
        self._stopping.look(self._model, self._parameters)
        return True

    def _ends_epoch(self, done: int) -> bool:
        """Whether an epoch ends after so many steps."""
        return done == self.total_steps or (done > 0 and self._steps[done].epoch != self._steps[done - 1].epoch)

    def _rows_at_once(self) -> int:
        """All rows of a step, unless they would draw their dropout from one generator in whatever order."""
        return 1 if self._recipe.dropout else max(len(step.rows) for step in self._steps)

    def _save(self, checkpointing: Checkpointing | None) -> None:
        if checkpointing and self._done and self._ranks.is_first:
            checkpointing.checkpoints.save(self.state(), checkpointing.origin)

    def _tokens(self, step: Step) -> int:
        return sum(len(self._conversations[index].input_ids) for row in step.rows for index in row)

    def _result(self, clock: TrainingClock) -> TrainingResult:
        edge = max(1, len(self._losses) // 10)
        return TrainingResult(
            steps=self._done,
            tokens=sum(map(self._tokens, self._steps[: self._done])),
            first_loss=sum(self._losses[:edge]) / edge,
            final_loss=sum(self._losses[-edge:]) / edge,
            seconds=clock.seconds,
            tokens_per_second=clock.speed,
            learning_rate=self._recipe.learning_rate,
            validation_loss=self._stopping.best_loss,
        )
