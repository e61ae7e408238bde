"""What people corrected or rated, learned by an adapter that was trained before: DPO and KTO, as TRL has them.

DPO (Rafailov et al. 2023) takes pairs of replies, KTO (Ethayarajh et al. 2024) single ones that were praised or blamed.
Either is held to the adapter it starts from, of which TRL keeps a copy as reference.
"""

import logging
import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.recipe import Recipe
from core.rendering import ChatTokenizer
from wrappers.lora_training import StepReport, TrainingFailed, TrainingInterrupted

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


def steps_of(records: Sequence[Record], recipe: Recipe) -> int:
    """How many optimiser steps it will take."""
    return recipe.preference_epochs * math.ceil(len(records) / _BATCH)


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
    on_step: Callable[[StepReport], None] = lambda report: None,
    interrupted: Callable[[], bool] = lambda: False,
) -> Preferred:
    """Move the adapter of `model`; steps are counted on from `after`.

    TrainingInterrupted when `interrupted` says so after a step: it keeps no state of its own and begins anew.
    """
    from datasets import Dataset

    logging.getLogger("trl").setLevel(logging.ERROR)  # its warnings quote what was said
    with tempfile.TemporaryDirectory() as nothing_is_kept:
        watch = _watch(after, after + steps_of(records, recipe), on_step, interrupted)
        trainer = _trainer(model, tokenizer, Dataset.from_list(_shuffled(records, recipe)), recipe, nothing_is_kept)
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


def _trainer(model: "PeftModel", tokenizer: Any, dataset: Any, recipe: Recipe, folder: str) -> Any:
    import trl

    device = next(model.parameters()).device.type
    shared: dict[str, Any] = {
        "output_dir": folder,
        "per_device_train_batch_size": _BATCH,
        "num_train_epochs": recipe.preference_epochs,
        "learning_rate": recipe.preference_rate,
        "lr_scheduler_type": "cosine" if recipe.schedule == "cosine" else "constant_with_warmup",
        "warmup_steps": recipe.warmup_share,
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
    }
    if recipe.method == "dpo":
        config, trainer = trl.DPOConfig(**shared), trl.DPOTrainer
    else:
        shared |= _weights(dataset["label"])
        config, trainer = trl.KTOConfig(**shared), trl.KTOTrainer
    return trainer(model=model, args=config, train_dataset=dataset, processing_class=tokenizer)


def _weights(labels: Sequence[bool]) -> dict[str, float]:
    """So that the praised and the blamed weigh alike, as KTO's authors advise."""
    praised = sum(labels)
    blamed = len(labels) - praised
    return {"desirable_weight": max(1.0, blamed / praised), "undesirable_weight": max(1.0, praised / blamed)}


def _shuffled(records: Sequence[Record], recipe: Recipe) -> list[Record]:
    """KTO's own order must not be changed later: it pairs neighbours."""
    import numpy as np

    return [records[at] for at in np.random.default_rng(recipe.seed).permutation(len(records))]


def _longest(record: Record, tokenizer: ChatTokenizer) -> int:
    replies = [record[name] for name in ("chosen", "rejected", "completion") if name in record]
    whole = ([*record["prompt"], *reply] for reply in replies)
    return max(len(tokenizer.apply_chat_template(turns, tokenize=True, return_dict=False)) for turns in whole)


def _watch(after: int, total: int, on_step: Callable[[StepReport], None], interrupted: Callable[[], bool]) -> Any:
    from transformers import TrainerCallback

    class Watch(TrainerCallback):  # type: ignore[misc]
        """Reports each step, ends at the next one when it is told to, and does not let NaN pass."""

        def __init__(self) -> None:
            self.step, self.total, self.stopped = after, total, False
            self.losses: list[float] = []
            self.accuracies: list[float] = []
            self._began = time.monotonic()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if not logs or "loss" not in logs:
                return
            loss = float(logs["loss"])
            if not math.isfinite(loss):
                raise TrainingFailed(
                    f"Expected a finite loss on preferences at step {state.global_step}, found {loss}: lower the "
                    f"preference rate ({args.learning_rate})"
                )
            self.losses.append(loss)
            if "rewards/accuracies" in logs:
                self.accuracies.append(float(logs["rewards/accuracies"]))
            self.step = after + state.global_step
            each = (time.monotonic() - self._began) / state.global_step
            tokens = float(state.num_input_tokens_seen or 0) / max(time.monotonic() - self._began, 1e-9)
            left = each * (total - self.step)
            on_step(StepReport(self.step, total, loss, float(logs.get("learning_rate", 0.0)), tokens, left))

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if interrupted() and state.global_step < state.max_steps:
                self.stopped = True
                control.should_training_stop = True

    return Watch()
