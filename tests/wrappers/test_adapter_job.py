import json
from pathlib import Path

import pytest

from core.recipe import Recipe
from resources import folders
from tests.wrappers.tiny_model import short_conversations
from wrappers.adapter_job import AdapterJob, library_versions, train_adapter
from wrappers.checkpoints import Checkpointing, Checkpoints, Origin
from wrappers.training_outcome import StepReport, TrainingImpossible, TrainingInterrupted

pytestmark = pytest.mark.slow

RECIPE = Recipe(rank=4, alpha=8, epochs=1, pack_tokens=512, tokens_per_step=512, learning_rate=5e-3)


def job(tiny_model: Path, count: int = 12, **changed: object) -> AdapterJob:
    fields = {
        "base": tiny_model,
        "base_name": "tiny",
        "conversations": short_conversations(count),
        "replay": [],
        "recipe": RECIPE,
    }
    return AdapterJob(**{**fields, **changed})


def checkpointing(folder: Path, recipe: Recipe = RECIPE) -> Checkpointing:
    kept = Checkpoints(folder, publish=folders.publish, check=folders.check, hashes=folders.hashes)
    return Checkpointing(kept, Origin(1, "tiny", "data", recipe), seconds=3600)


def interrupted_after(tiny_model: Path, folder: Path, saving: Checkpointing, step: int) -> None:
    seen: list[StepReport] = []
    with pytest.raises(TrainingInterrupted):
        train_adapter(
            job(tiny_model), folder, checkpointing=saving, on_step=seen.append, interrupted=lambda: len(seen) == step
        )


def test_a_job_goes_on_from_its_checkpoint_and_gives_the_same_adapter(tiny_model: Path, tmp_path: Path) -> None:
    for name in ("unbroken", "resumed"):
        (tmp_path / name).mkdir()
    train_adapter(job(tiny_model), tmp_path / "unbroken")
    saving = checkpointing(tmp_path / "checkpoints")
    interrupted_after(tiny_model, tmp_path / "resumed", saving, step=2)
    steps: list[int] = []
    train_adapter(
        job(tiny_model), tmp_path / "resumed", checkpointing=saving, on_step=lambda report: steps.append(report.step)
    )
    assert steps[0] == 3
    assert folders.hashes(tmp_path / "resumed") == folders.hashes(tmp_path / "unbroken")


def test_a_checkpoint_of_another_recipe_is_not_continued(tiny_model: Path, tmp_path: Path) -> None:
    interrupted_after(tiny_model, tmp_path, checkpointing(tmp_path / "checkpoints"), step=2)
    other = RECIPE.model_copy(update={"learning_rate": 1e-3})
    steps: list[int] = []
    train_adapter(
        job(tiny_model, recipe=other),
        tmp_path,
        checkpointing=checkpointing(tmp_path / "checkpoints", other),
        on_step=lambda report: steps.append(report.step),
    )
    assert steps[0] == 1


def test_an_adapter_that_starts_from_another_is_measured_against_it(tiny_model: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    train_adapter(job(tiny_model), tmp_path / "first")
    train_adapter(job(tiny_model, start=tmp_path / "first"), tmp_path / "second")
    first, second = (folders.hashes(tmp_path / name) for name in ("first", "second"))
    assert first["adapter_model.safetensors"] != second["adapter_model.safetensors"]
    assert json.loads((tmp_path / "second" / "adapter_config.json").read_text())["r"] == 4


def test_what_is_too_long_is_left_out_and_counted(tiny_model: Path, tmp_path: Path) -> None:
    trained = train_adapter(job(tiny_model, recipe=RECIPE.model_copy(update={"max_length": 130})), tmp_path)
    counts = trained.counts()
    assert counts["too_long"] > 0
    assert counts["conversations"] + counts["too_long"] == 12


def test_nothing_short_enough_is_an_error_of_the_dataset(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingImpossible):
        train_adapter(job(tiny_model, recipe=RECIPE.model_copy(update={"max_length": 16})), tmp_path)


def test_the_versions_of_what_decides_the_result_are_named() -> None:
    assert {"torch", "transformers", "peft"} <= library_versions(Recipe()).keys()
