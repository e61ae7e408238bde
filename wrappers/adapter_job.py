"""One adapter from start to files: load, render, train, save. The trainer process and LoraWrapper both run this."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from core.conversation import Conversation
from core.recipe import Recipe
from core.rendering import ChatTokenizer, Rendered, render
from wrappers.lora_model import attach, load_adapter, load_base, load_tokenizer, pick_device, save_adapter
from wrappers.lora_training import Checkpointing, LoraTraining, StepReport, TrainingResult
from wrappers.whole_model import load_trainable, save_whole

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AdapterJob:
    """What to train on which base; `start` is the champion's folder when training goes on from it."""

    base: Path
    base_name: str
    conversations: Sequence[Conversation]
    replay: Sequence[Conversation]
    recipe: Recipe
    start: Path | None = None


@dataclass(frozen=True)
class TrainedAdapter:
    """Figures of a finished job; `too_long` conversations were left out, an answer is never cut."""

    result: TrainingResult
    trained: int
    too_long: int
    replay_pool: int

    def counts(self) -> dict[str, int]:
        """The whole numbers of the manifest."""
        return {
            "conversations": self.trained,
            "too_long": self.too_long,
            "replay_pool": self.replay_pool,
            "steps": self.result.steps,
            "tokens": self.result.tokens,
        }

    def details(self) -> dict[str, str]:
        """The final figures of the manifest, as text so that equal runs give equal bytes where they can."""
        return {name: f"{value:.6g}" for name, value in asdict(self.result).items() if isinstance(value, float)}


def train_adapter(
    job: AdapterJob,
    folder: Path,
    *,
    checkpointing: Checkpointing | None = None,
    on_step: Callable[[StepReport], None] = lambda report: None,
    interrupted: Callable[[], bool] = lambda: False,
) -> TrainedAdapter:
    """Train and write the two files of the adapter into `folder`, going on from a checkpoint of the same origin.

    Of a method that makes no adapter, the files of a whole model.
    """
    tokenizer = load_tokenizer(job.base)
    conversations = render_fitting(job.conversations, tokenizer, job.recipe.max_length)
    replay = render_fitting(job.replay, tokenizer, job.recipe.max_length)
    model = _trainable_model(job)
    training = LoraTraining(model, list(conversations.values()), list(replay.values()), job.recipe)
    _resume(training, checkpointing)
    result = training.run(checkpointing=checkpointing, on_step=on_step, interrupted=interrupted)
    if job.recipe.makes_adapter:
        save_adapter(model, folder, job.base_name)
    else:
        save_whole(model, folder, job.base)
    too_long = len(job.conversations) - len(conversations)
    return TrainedAdapter(result, trained=len(conversations), too_long=too_long, replay_pool=len(replay))


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
    beside = ("bitsandbytes",) if recipe.method == "qlora" else ()
    return {name: version(name) for name in ("torch", "transformers", "peft", "safetensors", "numpy", *beside)}


def _resume(training: LoraTraining, checkpointing: Checkpointing | None) -> None:
    found = checkpointing.checkpoints.newest() if checkpointing else None
    if checkpointing is None or found is None:
        return
    state, manifest = found
    if not checkpointing.origin.led_to(manifest):
        logger.warning("Checkpoint of step %d is of another dataset, base or recipe: starting anew", state.step)
        return
    training.restore(state)
    logger.info("Going on after step %d of %d", state.step, training.total_steps)
