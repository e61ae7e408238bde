"""The bundled model itself: what a tiny model cannot show."""

from pathlib import Path

import pytest
import torch

from core.recipe import Recipe
from core.rendering import Rendered
from resources.base_model import BUNDLED, prepared_folder
from resources.reference_sets import GENERAL, REPLAY, read_set
from resources.settings import ROOT
from wrappers.adapter_job import render_fitting
from wrappers.lora_model import attach, load_base, load_tokenizer, token_losses
from wrappers.lora_scoring import mean_losses
from wrappers.lora_training import LoraTraining
from wrappers.packing import collate

pytestmark = pytest.mark.slow

MODEL = prepared_folder(BUNDLED, ROOT / "var" / "models")


@pytest.fixture(scope="module")
def model_folder() -> Path:
    if not (MODEL / "config.json").is_file():
        pytest.skip(f"The bundled model is not in {MODEL}: run `make setup`; NOTHING of the real model was tested")
    return MODEL


@pytest.fixture(scope="module")
def general(model_folder: Path) -> list[Rendered]:
    return list(render_fitting(read_set(GENERAL), load_tokenizer(model_folder), 512).values())


def test_labels_are_the_reply_and_its_end_of_turn(model_folder: Path, general: list[Rendered]) -> None:
    tokenizer = load_tokenizer(model_folder)
    labelled = [label for label in general[0].labels if label != -100]
    assert tokenizer.decode(labelled) == "The capital of France is Paris.<|im_end|>"


def test_a_packed_row_has_the_losses_of_its_conversations_alone_within_bf16(
    model_folder: Path, general: list[Rendered]
) -> None:
    model = load_base(model_folder)
    with torch.inference_mode():
        packed = token_losses(model, collate(general[:8]))
        alone = torch.cat([token_losses(model, collate([conversation])) for conversation in general[:8]])
    assert float((packed - alone).abs().mean()) < 0.03
    assert float((packed.mean() - alone.mean()).abs()) < 0.01


def test_the_bundled_model_knows_the_general_set_better_than_chance(
    model_folder: Path, general: list[Rendered]
) -> None:
    losses = mean_losses(load_base(model_folder), general[:20], 256)
    assert sum(losses) / len(losses) < 3.0


def test_a_short_training_lowers_the_loss_of_what_it_did_not_see(model_folder: Path, general: list[Rendered]) -> None:
    recipe = Recipe(epochs=1, replay_share=0.0)
    replay = list(render_fitting(read_set(REPLAY)[:40], load_tokenizer(model_folder), 512).values())
    base = load_base(model_folder)
    before = sum(mean_losses(base, general[:20], 256))
    model = attach(base, recipe)
    result = LoraTraining(model, replay, [], recipe).run()
    assert result.steps >= 2
    assert sum(mean_losses(model, general[:20], 256)) < before
