"""DPO and KTO on an adapter: what was preferred becomes likelier against what was not, and an adapter comes of it."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core.formats_out import export
from core.recipe import Recipe
from core.rendering import render
from resources import adapters, folders
from tests.wrappers.tiny_model import short_conversations
from wrappers.adapter_job import AdapterJob, train_adapter
from wrappers.checkpoints import Checkpointing, Checkpoints, Origin
from wrappers.lora_model import load_adapter, load_base, load_tokenizer
from wrappers.lora_scoring import mean_losses
from wrappers.preference_training import _weights, fitting, steps_of
from wrappers.training_outcome import StepReport, TrainingInterrupted

pytestmark = pytest.mark.slow  # imports TRL

BASE: dict[str, Any] = {
    "rank": 4, "alpha": 8, "epochs": 1, "pack_tokens": 512, "tokens_per_step": 1024, "learning_rate": 1e-4,
    "replay_share": 0, "preference_rate": 5e-3, "preference_epochs": 2,
}  # fmt: skip
WRONG = "No."


def recipe(method: str) -> Recipe:
    return Recipe(method=method, **BASE)


def records(method: str) -> list[dict[str, Any]]:
    said = short_conversations(8)
    wrong = [one.model_copy(update={"reply": WRONG}) for one in said]
    if method == "dpo":
        found = [export("dpo", bad, corrected=good.reply) for good, bad in zip(said, wrong, strict=True)]
    else:
        found = [export("kto", one, liked=one.reply != WRONG) for one in (*said, *wrong)]
    return [one.record for one in found if one.record is not None]


def job(tiny_model: Path, method: str) -> AdapterJob:
    return AdapterJob(tiny_model, "tiny", short_conversations(12), [], recipe(method), preferences=records(method))


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_the_preferred_reply_gains_on_the_other(tiny_model: Path, tmp_path: Path, method: str) -> None:
    reports: list[StepReport] = []
    with_them, without = tmp_path / "with", tmp_path / "without"
    for folder in (with_them, without):
        folder.mkdir()
    trained = train_adapter(job(tiny_model, method), with_them, on_step=reports.append)
    plain = AdapterJob(tiny_model, "tiny", short_conversations(12), [], recipe(method))
    assert "preferences" not in train_adapter(plain, without).counts()

    assert trained.preferred is not None
    # over halves: a batch of KTO's says little, where all in it are praised nothing
    losses = [report.loss for report in reports[-trained.preferred.steps :]]
    half = len(losses) // 2
    assert sum(losses[half:]) < sum(losses[:half])
    assert trained.counts()["preferences"] == len(records(method))
    assert {report.total_steps for report in reports} == {trained.counts()["steps"]}, "the end is known from the start"
    assert [report.step for report in reports] == list(range(1, reports[-1].total_steps + 1))
    assert all(math.isfinite(report.loss) for report in reports)
    assert "preference_final_loss" in trained.details()

    origin = Origin(1, "tiny", "data", recipe(method))
    adapters.publish(with_them, tmp_path / "v1", origin.manifest("adapter", folders.hashes(with_them)))
    assert margin(tiny_model, tmp_path / "v1") > margin(tiny_model, without) + 0.05


def margin(tiny_model: Path, adapter: Path) -> float:
    """By how many nats a token the wrong reply is less likely than the right one."""
    tokenizer = load_tokenizer(tiny_model)
    model = load_adapter(load_base(tiny_model), adapter)
    said = short_conversations(8)
    right = mean_losses(model, [render(one, tokenizer, 512) for one in said], 512)
    wrong = mean_losses(model, [render(one.model_copy(update={"reply": WRONG}), tokenizer, 512) for one in said], 512)
    return sum(wrong) / len(wrong) - sum(right) / len(right)


@pytest.mark.parametrize("method", ["dpo", "kto"])
@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_who_is_ended_in_the_preferences_goes_on_and_ends_where_an_unbroken_one_does(
    tiny_model: Path, tmp_path: Path, method: str, how: str
) -> None:
    """In the second pass, with dropout: order, rate, moments and reference go on too."""
    asked = recipe(method).model_copy(update={"dropout": 0.1})
    work = replace(job(tiny_model, method), recipe=asked)
    kept = Checkpoints(tmp_path / "c", publish=folders.publish, check=folders.check, hashes=folders.hashes)
    saving = Checkpointing(kept, Origin(1, "tiny", "data", asked), seconds=3600 if how == "stopped" else 0)
    whole, seen = [], []
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
    done = train_adapter(work, tmp_path / "whole", on_step=whole.append)
    steps = steps_of(records(method), asked)
    end = whole[-1].total_steps - steps // 2 + 1
    assert all(report.learning_rate > 0 for report in whole), "no step is for nothing"

    def on_step(report: StepReport) -> None:
        seen.append(report)
        if how == "killed" and report.step == end + 1:
            raise KeyboardInterrupt

    with pytest.raises(TrainingInterrupted if how == "stopped" else KeyboardInterrupt):
        train_adapter(work, tmp_path / "broken", checkpointing=saving, on_step=on_step,
                      interrupted=lambda: how == "stopped" and len(seen) == end)  # fmt: skip
    seen.clear()
    again = train_adapter(work, tmp_path / "broken", checkpointing=saving, on_step=seen.append)
    assert [report.step for report in seen] == list(range(end + 1, whole[-1].total_steps + 1))
    assert [report.learning_rate for report in seen] == [report.learning_rate for report in whole[end:]]
    assert again.preferred is not None
    assert done.preferred is not None
    assert again.preferred.steps == done.preferred.steps == steps
    weights, others = (load_file(tmp_path / name / adapters.WEIGHTS) for name in ("whole", "broken"))
    for name, weight in weights.items():
        torch.testing.assert_close(others[name], weight, atol=1e-5, rtol=1e-4, msg=name)


def test_what_trl_would_cut_is_left_out_and_kto_needs_both_kinds(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    short = recipe("dpo").model_copy(update={"max_length": 100})
    assert len(fitting(records("dpo"), tokenizer, short)) < len(records("dpo")) == 8
    praised = [record for record in records("kto") if record["label"]]
    assert fitting(praised, tokenizer, recipe("kto")) == []
    assert len(fitting(records("kto")[1:], tokenizer, recipe("kto"))) == 12, "full batches: a reply alone has no other"


def test_praised_and_blamed_weigh_alike() -> None:
    assert _weights([True] * 9 + [False]) == {"desirable_weight": 1.0, "undesirable_weight": 9.0}
    assert _weights([True] + [False] * 3) == {"desirable_weight": 3.0, "undesirable_weight": 1.0}
