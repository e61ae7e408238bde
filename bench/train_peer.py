"""HF Trainer + PEFT as one would write it: with its defaults, at its best on a CPU, and in our own order.

Its defaults are fp32 weights, batches of eight and dynamic padding. Transformers 5 loads a checkpoint in the type that
it was saved in, here bf16, so that the same lines then compute in bf16: that is measured beside it.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.recipe import ALL_LINEAR, Recipe
from core.rendering import Rendered
from wrappers.plan import learning_rate

# A slow one is stopped after that many seconds of counted steps; its batches come in random order, so these are fair.
ENOUGH_SECONDS = 20.0

# About as many conversations as a step of ours holds.
BEST_BATCH = 16


def peer(
    base: Path,
    trained: Sequence[Rendered],
    recipe: Recipe,
    kind: str,
    adapter: Path,
    order: Sequence[Sequence[int]] | None,
    warm_steps: int,
) -> dict[str, float]:
    """Train one epoch and save the adapter. Speed in useful tokens a second.

    `kind` is "fp32", "bf16" (both with defaults), "best", or "same order": our batches at our rates.
    """
    began = time.monotonic()
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        DataCollatorForSeq2Seq,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    torch.manual_seed(recipe.seed)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(
            base, local_files_only=True, dtype=torch.float32 if kind == "fp32" else "auto"
        ),
        LoraConfig(r=recipe.rank, lora_alpha=recipe.alpha, target_modules=list(ALL_LINEAR), task_type="CAUSAL_LM"),
    )
    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
    rows = [{"input_ids": list(one.input_ids), "labels": list(one.labels)} for one in trained]
    counted: list[int] = []
    ends: list[float] = []

    class Collator(DataCollatorForSeq2Seq):  # type: ignore[misc]
        def __call__(self, features: Any, return_tensors: Any = None) -> Any:
            counted.append(sum(len(feature["input_ids"]) for feature in features))
            return super().__call__(features, return_tensors)

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            ends.append(time.monotonic())
            counted_from = ends[min(warm_steps, len(ends)) - 1]
            if kind in ("fp32", "bf16") and ends[-1] - counted_from >= ENOUGH_SECONDS:
                control.should_training_stop = True

    class InOrder(Trainer):  # type: ignore[misc]
        def get_train_dataloader(self) -> Any:
            if order is None:
                return super().get_train_dataloader()
            batches: list[list[int]] = [list(step) for step in order]
            return torch.utils.data.DataLoader(rows, batch_sampler=batches, collate_fn=self.data_collator)

        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            if order is None:
                return super().create_scheduler(num_training_steps, optimizer)
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                optimizer or self.optimizer,
                lambda step: learning_rate(step, num_training_steps, recipe) / recipe.learning_rate,
            )
            return self.lr_scheduler

    shared: dict[str, Any] = {
        "output_dir": str(adapter.with_name("trainer")),
        "num_train_epochs": 1,
        "learning_rate": recipe.learning_rate,
        "report_to": "none",
        "save_strategy": "no",
        "use_cpu": True,
        "disable_tqdm": True,
    }
    alike = {"lr_scheduler_type": "cosine", "warmup_steps": recipe.warmup_share, "bf16": True}
    by_kind: dict[str, dict[str, Any]] = {
        "fp32": {},
        "bf16": {},
        "best": {**alike, "per_device_train_batch_size": BEST_BATCH, "train_sampling_strategy": "group_by_length"},
        "same order": {"bf16": True, "max_steps": len(order or ())},
    }
    trainer = InOrder(
        model=model,
        args=TrainingArguments(**shared, **by_kind[kind]),
        train_dataset=rows,
        data_collator=Collator(tokenizer, padding=True),
        callbacks=[Clock()],
    )
    started = time.monotonic()
    trainer.train()
    model.save_pretrained(adapter)
    return {
        "tokens_per_second": sum(counted[warm_steps : len(ends)]) / (ends[-1] - ends[warm_steps - 1]),
        "start": started - began,
        "steps": len(ends),
    }
