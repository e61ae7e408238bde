"""What people corrected or rated, learned by an adapter that was trained before: DPO and KTO, as TRL has them.

DPO (Rafailov et al. 2023) takes pairs of replies, KTO (Ethayarajh et al. 2024) single ones that were praised or blamed.
Either is held to the adapter it starts from, of which TRL keeps a copy as reference. Data, rate and dropout of a step
follow from its number alone, so that a training that was stopped goes on as if it had not been: TRL is given the rest.
"""

import logging
import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from core.recipe import Recipe
from core.rendering import ChatTokenizer
from wrappers.lora_model import trainable
from wrappers.plan import learning_rate
from wrappers.preference_state import Moved, moved, put_back
from wrappers.training_outcome import StepReport, TrainingFailed, TrainingInterrupted

if TYPE_CHECKING:
    from peft import PeftModel

# KTO compares a reply with a mismatched one of its batch, so that one alone would not do.
_BATCH = 4

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Preferred:
    """What came of it: means over the first and the last tenth of the steps; `accuracy` where pairs are compared."""

    records: int
    steps: int
    first_loss: float
    final_loss: float
    accuracy: float | None


@dataclass(frozen=True)
class Saving:
    """Where it goes how far the adapter came, and how often."""

    save: Callable[[Moved], object]
    seconds: float


def steps_of(records: Sequence[Record], recipe: Recipe) -> int:
    """How many optimiser steps it will take."""
    return math.ceil(recipe.preference_epochs * len(records) / _BATCH)


def fitting(records: Sequence[Record], tokenizer: ChatTokenizer, recipe: Recipe) -> list[Record]:
    """Those whose replies, with what was asked, are within the longest length: TRL would cut them.

    Of KTO's as many as fill their batches, and none where they are all of one kind.
    """
    found = [record for record in records if _longest(record, tokenizer) <= recipe.max_length]
    if recipe.method != "kto":
        return found
    full = found[: len(found) // _BATCH * _BATCH]
    return full if len({record["label"] for record in full}) == 2 else []


def prefer(
    model: "PeftModel",
    tokenizer: Any,
    records: Sequence[Record],
    recipe: Recipe,
    *,
    after: int = 0,
    found: Moved | None = None,
    saving: Saving | None = None,
    on_step: Callable[[StepReport], None] = lambda report: None,
    interrupted: Callable[[], bool] = lambda: False,
) -> Preferred:
    """Move the adapter of `model`; steps are counted on from `after`, and begin where `found` says.

    TrainingInterrupted when `interrupted` says so after a step, once it is saved.
    """
    from datasets import Dataset

    logging.getLogger("trl").setLevel(logging.ERROR)  # its warnings quote what was said
    total, done = steps_of(records, recipe), found.steps if found else 0
    left = _in_order(records, recipe)[done * _BATCH :]
    weights = _weights([record["label"] for record in records]) if recipe.method == "kto" else {}
    rates = partial(_rate, done=done, total=total, recipe=recipe)
    with tempfile.TemporaryDirectory() as nothing_is_kept:
        watch = _watch(model, recipe, _Way(after, total, found, saving), on_step, interrupted)
        trainer = _trainer(model, tokenizer, Dataset.from_list(left), recipe, nothing_is_kept, rates, weights)
        trainer.add_callback(watch)
        trainer.train()
    if "ref" in model.peft_config:
        model.delete_adapter("ref")
    model.set_adapter("default")
    model.eval()
    if watch.stopped:
        raise TrainingInterrupted(watch.step, watch.total)
    edge = max(1, len(watch.losses) // 10)
    accuracies = watch.accuracies[-edge:]
    return Preferred(
        records=len(records),
        steps=len(watch.losses),
        first_loss=sum(watch.losses[:edge]) / edge,
        final_loss=sum(watch.losses[-edge:]) / edge,
        accuracy=sum(accuracies) / len(accuracies) if accuracies else None,
    )


def _rate(step: int, *, done: int, total: int, recipe: Recipe) -> float:
    """The share of the peak rate that a step of what is left has: warm-up and fall are those of any training here.

    TRL's own warm-up begins with a rate of 0, which makes nothing of the first step.
    """
    return learning_rate(done + step, total, recipe.model_copy(update={"learning_rate": 1.0}))


def _trainer(
    model: "PeftModel",
    tokenizer: Any,
    dataset: Any,
    recipe: Recipe,
    folder: str,
    rates: Callable[[int], float],
    weights: Mapping[str, float],
) -> Any:
    import trl
    from torch.optim.lr_scheduler import LambdaLR

    device = next(model.parameters()).device.type
    shared: dict[str, Any] = {
        "output_dir": folder,
        "per_device_train_batch_size": _BATCH,
        "num_train_epochs": 1,
        "train_sampling_strategy": "sequential",
        "learning_rate": recipe.preference_rate,
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": recipe.gradient_clip,
        "beta": recipe.preference_beta,
        "max_length": recipe.max_length,
        "seed": recipe.seed,
        "bf16": True,
        "use_cpu": device == "cpu",
        "gradient_checkpointing": recipe.gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "logging_steps": 1,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "dataloader_drop_last": False,
        **weights,
    }
    made = {"dpo": (trl.DPOConfig, trl.DPOTrainer), "kto": (trl.KTOConfig, trl.KTOTrainer)}
    config, kind = made[recipe.method]

    class Scheduled(kind):  # type: ignore[misc, valid-type]
        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            self.lr_scheduler = LambdaLR(optimizer or self.optimizer, rates)
            return self.lr_scheduler

    return Scheduled(model=model, args=config(**shared), train_dataset=dataset, processing_class=tokenizer)


def _weights(labels: Sequence[bool]) -> dict[str, float]:
    """So that the praised and the blamed weigh alike, as KTO's authors advise."""
    praised = sum(labels)
    blamed = len(labels) - praised
    return {"desirable_weight": max(1.0, blamed / praised), "undesirable_weight": max(1.0, praised / blamed)}


def _in_order(records: Sequence[Record], recipe: Recipe) -> list[Record]:
    """Every epoch in an order of its own, one after another, and so they stay: KTO pairs neighbours."""
    import numpy as np

    epochs = (np.random.default_rng([recipe.seed, epoch]) for epoch in range(recipe.preference_epochs))
    return [records[at] for draw in epochs for at in draw.permutation(len(records))]


def _longest(record: Record, tokenizer: ChatTokenizer) -> int:
    replies = [record[name] for name in ("chosen", "rejected", "completion") if name in record]
    whole = ([*record["prompt"], *reply] for reply in replies)
    return max(len(tokenizer.apply_chat_template(turns, tokenize=True, return_dict=False)) for turns in whole)


@dataclass(frozen=True)
class _Way:
    """From where to where: steps `after` which it begins, `total` of its own, and what was `found` of them."""

    after: int
    total: int
    found: Moved | None
    saving: Saving | None


def _watch(
    model: "PeftModel",
    recipe: Recipe,
    way: _Way,
    on_step: Callable[[StepReport], None],
    interrupted: Callable[[], bool],
) -> Any:
    import torch
    from transformers import TrainerCallback

    done = way.found.steps if way.found else 0
    parameters = trainable(model)

    class Watch(TrainerCallback):  # type: ignore[misc]
        """Reports each step, saves and ends at the next one when it is told to, and does not let NaN pass."""

        def __init__(self) -> None:
            self.step, self.total, self.stopped = way.after + done, way.after + way.total, False
            self.losses = list(way.found.losses) if way.found else []
            self.accuracies = list(way.found.accuracies) if way.found else []
            self._began = self._saved = time.monotonic()

        def on_train_begin(self, args: Any, state: Any, control: Any, optimizer: Any = None, **_: Any) -> None:
            if way.found:  # only now: the reference is a copy of what stood here before
                put_back(way.found, parameters, optimizer)

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            torch.manual_seed(recipe.seed + way.after + done + state.global_step)

        def on_log(
            self, args: Any, state: Any, control: Any, logs: Any = None, optimizer: Any = None, **_: Any
        ) -> None:
            if not logs or "loss" not in logs:
                return
            loss = float(logs["loss"])
            self.step = way.after + done + state.global_step
            if not math.isfinite(loss):
                raise TrainingFailed(
                    f"Expected a finite loss on preferences at step {self.step}, found {loss}: lower the preference "
                    f"rate ({args.learning_rate})"
                )
            self.losses.append(loss)
            if "rewards/accuracies" in logs:
                self.accuracies.append(float(logs["rewards/accuracies"]))
            seconds = max(time.monotonic() - self._began, 1e-9)
            tokens = float(state.num_input_tokens_seen or 0) / seconds
            left = seconds / state.global_step * (self.total - self.step)
            on_step(StepReport(self.step, self.total, loss, float(logs.get("learning_rate", 0.0)), tokens, left))
            if self.step < self.total:
                self._between(optimizer, control)

        def _between(self, optimizer: Any, control: Any) -> None:
            self.stopped = control.should_training_stop = interrupted()
            due = way.saving and (self.stopped or time.monotonic() - self._saved >= way.saving.seconds)
            if way.saving and due:
                way.saving.save(moved(parameters, optimizer, self.losses, self.accuracies))
                self._saved = time.monotonic()

    return Watch()
