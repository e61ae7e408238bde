"""One adapter from start to files: load, render, train, save. The trainer process and LoraWrapper both run this."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from core.conversation import Conversation
from core.recipe import Recipe
from core.rendering import ChatTokenizer, Rendered, render
from wrappers.checkpoints import Checkpointing, TrainingState
from wrappers.lora_model import attach, load_adapter, load_base, load_tokenizer, pick_device, save_adapter
from wrappers.lora_training import LoraTraining
from wrappers.preference_state import joined, parted
from wrappers.preference_training import Preferred, Record, Saving, fitting, prefer, steps_of
from wrappers.ranks import ALONE, Ranks
from wrappers.rate_sweep import best_of, sweep
from wrappers.training_outcome import StepReport, TrainingResult
from wrappers.whole_model import load_trainable, save_whole

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AdapterJob:
    """What to train on which base; `start` is the champion's folder when training goes on from it.

    `preferences` are records as DPO or KTO take them, learned after the conversations. `validation` is not trained on:
    it says when to stop and which learning rate is best, where the recipe asks for that.
    """

    base: Path
    base_name: str
    conversations: Sequence[Conversation]
    replay: Sequence[Conversation]
    recipe: Recipe
    start: Path | None = None
    preferences: Sequence[Record] = ()
    validation: Sequence[Conversation] = ()


@dataclass(frozen=True)
class TrainedAdapter:
    """Figures of a finished job; `too_long` conversations were left out, an answer is never cut."""

    result: TrainingResult
    trained: int
    too_long: int
    replay_pool: int
    preferred: Preferred | None = None
    sweep: Mapping[float, float] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """The whole numbers of the manifest."""
        return {
            "conversations": self.trained,
            "too_long": self.too_long,
            "replay_pool": self.replay_pool,
            "steps": self.result.steps + (self.preferred.steps if self.preferred else 0),
            "tokens": self.result.tokens,
            **({"preferences": self.preferred.records} if self.preferred else {}),
        }

    def details(self) -> dict[str, str]:
        """The final figures of the manifest, as text so that equal runs give equal bytes where they can."""
        of_preferences = asdict(self.preferred) if self.preferred else {}
        figures = {**asdict(self.result), **{f"preference_{name}": value for name, value in of_preferences.items()}}
        told = {name: f"{value:.6g}" for name, value in figures.items() if isinstance(value, float)}
        tried = ", ".join(f"{rate:g}: {loss:.4f}" for rate, loss in self.sweep.items())
        return {**told, **({"validation_loss_by_learning_rate": tried} if tried else {})}


def train_adapter(
    job: AdapterJob,
    folder: Path,
    *,
    checkpointing: Checkpointing | None = None,
    on_step: Callable[[StepReport], None] = lambda report: None,
    interrupted: Callable[[], bool] = lambda: False,
    ranks: Ranks = ALONE,
) -> TrainedAdapter:
    """Train and write the two files of the adapter into `folder`, going on from a checkpoint of the same origin.

    Of a method that makes no adapter, the files of a whole model.
    """
    tokenizer = load_tokenizer(job.base)
    conversations, replay, validation = (
        list(render_fitting(some, tokenizer, job.recipe.max_length).values())
        for some in (job.conversations, job.replay, job.validation)
    )
    model = _trainable_model(job)
    kept, tried = _kept_state(checkpointing), {}
    state, moved = parted(kept) if kept else (None, None)
    if state is None and job.recipe.rate_factors and conversations and validation:
        tried = sweep(model, conversations, validation, job.recipe, ranks=ranks, interrupted=interrupted)
    rate = state.figures["learning_rate"] if state else best_of(tried) if tried else job.recipe.learning_rate
    recipe = job.recipe.model_copy(update={"learning_rate": rate})
    training = LoraTraining(model, conversations, replay, recipe, validation, ranks)
    records = fitting(job.preferences, tokenizer, recipe)
    more = steps_of(records, recipe)
    if state and kept:
        training.restore(state)
        logger.info("Going on after step %d of %d", kept.step, training.total_steps + more)
    result = training.run(
        checkpointing=checkpointing, on_step=lambda report: on_step(_and_then(report, more)), interrupted=interrupted
    )
    preferred = None
    if records:
        before = training.state()
        if checkpointing and moved is None:  # whoever goes on begins with the preferences
            checkpointing.checkpoints.save(before, checkpointing.origin)
        saving = _saving(checkpointing, before) if checkpointing else None
        preferred = prefer(
            model, tokenizer, records, recipe, after=result.steps, found=moved, saving=saving, on_step=on_step,
            interrupted=interrupted,
        )  # fmt: skip
    if ranks.is_first:
        _save(model, folder, job)
    too_long = len(job.conversations) - len(conversations)
    return TrainedAdapter(result, len(conversations), too_long, len(replay), preferred, tried)


def _saving(checkpointing: Checkpointing, before: TrainingState) -> Saving:
    # what moves is copied: the weights of `before` must be those that the preferences are held to
    fixed = replace(before, tensors={name: tensor.detach().clone() for name, tensor in before.tensors.items()})
    return Saving(
        lambda moved: checkpointing.checkpoints.save(joined(fixed, moved), checkpointing.origin),
        checkpointing.seconds,
    )


def _save(model: Any, folder: Path, job: AdapterJob) -> None:
    if job.recipe.makes_adapter:
        save_adapter(model, folder, job.base_name)
    else:
        save_whole(model, folder, job.base)


def _and_then(report: StepReport, more: int) -> StepReport:
    """The same with the steps that follow, as if they took as long as those so far."""
    left = report.total_steps - report.step
    each = report.eta_seconds / left if left else 0.0
    return replace(report, total_steps=report.total_steps + more, eta_seconds=report.eta_seconds + more * each)


def _trainable_model(job: AdapterJob) -> Any:
    device = pick_device()
    if not job.recipe.makes_adapter:
        return load_trainable(job.base, device)
    base = load_base(job.base, device, in_four_bits=job.recipe.method == "qlora")
    return load_adapter(base, job.start, trainable=True) if job.start else attach(base, job.recipe)


def render_fitting(
    conversations: Sequence[Conversation], tokenizer: ChatTokenizer, max_length: int
) -> dict[int, Rendered]:
    """Position → rendered conversation, without those of more than `max_length` tokens."""
    rendered = {at: render(conversation, tokenizer) for at, conversation in enumerate(conversations)}
    fitting = {at: found for at, found in rendered.items() if len(found.input_ids) <= max_length}
    if len(fitting) < len(rendered):
        logger.warning("%d conversations of more than %d tokens left out", len(rendered) - len(fitting), max_length)
    return fitting


def library_versions(recipe: Recipe) -> dict[str, str]:
    """Versions of what decides the result."""
    beside = {"qlora": ("bitsandbytes",), "dpo": ("trl",), "kto": ("trl",)}.get(recipe.method, ())
    return {name: version(name) for name in ("torch", "transformers", "peft", "safetensors", "numpy", *beside)}


def _kept_state(checkpointing: Checkpointing | None) -> TrainingState | None:
    found = checkpointing.checkpoints.newest() if checkpointing else None
    if checkpointing is None or found is None:
        return None
    state, manifest = found
    if checkpointing.origin.led_to(manifest):
        return state
    logger.warning("Checkpoint of step %d is of another dataset, base or recipe: starting anew", state.step)
    return None
