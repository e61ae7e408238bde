"""One of two processes that train together: `python -m tests.wrappers.two_ranks MODEL OUT`."""

import sys
from pathlib import Path

from safetensors.torch import save_file

from core.recipe import Recipe
from core.rendering import render
from tests.wrappers.tiny_model import short_conversations
from wrappers import ranks
from wrappers.lora_model import attach, load_base, load_tokenizer, trainable
from wrappers.lora_training import LoraTraining
from wrappers.training_outcome import TrainingInterrupted

RECIPE = Recipe(rank=4, alpha=8, epochs=2, pack_tokens=256, tokens_per_step=1024, learning_rate=5e-3, replay_share=0.0)


def trained(model: Path, here: ranks.Ranks, stop_after: int | None = None) -> LoraTraining:
    """To the end, or until the first process wants it stopped."""
    tokenizer = load_tokenizer(model)
    rendered = [render(conversation, tokenizer, 512) for conversation in short_conversations(12)]
    training = LoraTraining(attach(load_base(model, dtype="float32"), RECIPE), rendered, [], RECIPE, ranks=here)
    steps: list[int] = []
    training.run(
        on_step=lambda report: steps.append(report.step),
        interrupted=lambda: here.is_first and len(steps) == stop_after,
    )
    return training


if __name__ == "__main__":
    here, folder = ranks.join(), Path(sys.argv[2])
    save_file(
        {
            name: weight.detach().contiguous()
            for name, weight in trainable(trained(Path(sys.argv[1]), here)._model).items()
        },
        folder / f"{here.index}.safetensors",
    )
    try:
        trained(Path(sys.argv[1]), here, stop_after=1)
    except TrainingInterrupted as stopped:
        (folder / f"{here.index}.stopped").write_text(str(stopped.step), encoding="utf-8")
