"""Full fine-tuning: a model folder that a base model can be replaced by, compared with the base like an adapter."""

from pathlib import Path

import pytest
import torch

from core.gate import GateThresholds, judge
from core.recipe import Recipe
from core.rendering import render
from resources import adapters, base_model, folders, whole_models
from resources.reference_sets import GENERAL, read_probes, read_set
from tests.wrappers.tiny_model import short_conversations
from wrappers.adapter_job import AdapterJob, train_adapter
from wrappers.checkpoints import Checkpointing, Checkpoints, Origin
from wrappers.evaluation import EvaluationJob, evaluate_adapter
from wrappers.lora_model import load_base, load_tokenizer, token_losses, trainable
from wrappers.lora_scoring import mean_losses
from wrappers.packing import collate
from wrappers.training_outcome import StepReport, TrainingInterrupted
from wrappers.whole_model import load_trainable

pytestmark = pytest.mark.slow  # trains a model of Transformers

RECIPE = Recipe(
    method="full", epochs=2, pack_tokens=512, tokens_per_step=512, learning_rate=1e-3, replay_share=0, max_length=512
)
ORIGIN = Origin(1, "tiny", "data", RECIPE)


def job(tiny_model: Path) -> AdapterJob:
    return AdapterJob(tiny_model, "tiny", short_conversations(12), [], RECIPE)


@pytest.fixture(scope="module")
def trained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    parent = tmp_path_factory.mktemp("trained_models")
    staging = parent / "staging"
    staging.mkdir()
    result = train_adapter(job(tiny_model), staging)
    assert result.result.final_loss < result.result.first_loss
    whole_models.publish(staging, parent / "v1", ORIGIN.manifest("model", folders.hashes(staging)))
    return parent / "v1"


def test_every_weight_is_trained_in_fp32_and_half_precision_computes(tiny_model: Path) -> None:
    model = load_trainable(tiny_model)
    parameters = trainable(model)
    assert len(parameters) == len(dict(model.named_parameters()))
    assert {parameter.dtype for parameter in parameters.values()} == {torch.float32}
    conversation = render(short_conversations(1)[0], load_tokenizer(tiny_model), 512)
    loss = token_losses(model, collate([conversation])).mean()
    assert all(gradient.any() for gradient in torch.autograd.grad(loss, list(parameters.values())))


def test_what_comes_of_it_is_a_base_model_of_its_own(tiny_model: Path, trained: Path) -> None:
    assert whole_models.verify(trained, "tiny").kind == "model"
    assert base_model.resolve(str(trained), tiny_model) == trained.resolve()
    assert base_model.fingerprint(trained) != base_model.fingerprint(tiny_model)
    assert base_model.parameters(trained) == base_model.parameters(tiny_model)
    tokenizer = load_tokenizer(trained)
    rendered = [render(conversation, tokenizer, 512) for conversation in short_conversations(12)]
    model = load_base(trained)
    assert model.dtype == torch.bfloat16
    assert sum(mean_losses(model, rendered, 512)) < sum(mean_losses(load_base(tiny_model), rendered, 512))


def test_it_is_never_taken_for_an_adapter_nor_an_adapter_for_it(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(adapters.AdapterRefused, match="found 'model'"):
        adapters.verify(trained, "tiny")
    (tmp_path / "v1").mkdir()
    (tmp_path / "v1" / "adapter_config.json").write_text("{}", encoding="utf-8")
    hashes = folders.hashes(tmp_path / "v1")
    (tmp_path / "v1" / "manifest.json").write_text(ORIGIN.manifest("adapter", hashes).to_json(), encoding="utf-8")
    with pytest.raises(whole_models.WholeModelRefused, match="found 'adapter'"):
        whole_models.verify(tmp_path / "v1", "tiny")
    with pytest.raises(whole_models.WholeModelRefused, match="found one from tiny"):
        whole_models.verify(trained, "another base")


def test_a_pickle_beside_the_weights_is_refused(trained: Path, tmp_path: Path) -> None:
    staging = tmp_path / "staging"
    staging.mkdir()
    for path in trained.iterdir():
        (staging / path.name).write_bytes(path.read_bytes())
    (staging / "manifest.json").unlink()
    (staging / "optimizer.pt").write_bytes(b"x")
    with pytest.raises(whole_models.WholeModelRefused, match=r"optimizer\.pt"):
        whole_models.publish(staging, tmp_path / "v1", ORIGIN.manifest("model", folders.hashes(staging)))
    assert not (tmp_path / "v1").exists()


def test_an_interrupted_training_goes_on_and_ends_with_the_same_model(
    tiny_model: Path, trained: Path, tmp_path: Path
) -> None:
    kept = Checkpoints(tmp_path / "c", publish=folders.publish, check=folders.check, hashes=folders.hashes)
    saving = Checkpointing(kept, ORIGIN, seconds=3600)
    seen: list[StepReport] = []
    (tmp_path / "v1").mkdir()
    with pytest.raises(TrainingInterrupted):
        train_adapter(
            job(tiny_model),
            tmp_path / "v1",
            checkpointing=saving,
            on_step=seen.append,
            interrupted=lambda: len(seen) == 1,
        )
    train_adapter(job(tiny_model), tmp_path / "v1", checkpointing=saving, on_step=seen.append)
    assert [report.step for report in seen] == list(range(1, seen[-1].total_steps + 1))
    assert folders.hashes(tmp_path / "v1") == whole_models.verify(trained, "tiny").files


@pytest.mark.parametrize("with_champion", [False, True])
def test_the_gate_measures_it_and_leaves_it_to_a_person(
    tiny_model: Path, trained: Path, tmp_path: Path, with_champion: bool
) -> None:
    champion = None
    if with_champion:
        recipe = RECIPE.model_copy(update={"method": "lora", "epochs": 1})
        train_adapter(AdapterJob(tiny_model, "tiny", short_conversations(12), [], recipe), tmp_path)
        champion = (1, tmp_path)
    held_out = short_conversations(20)[12:]
    probes = [probe for probe in read_probes() if probe.id.endswith("-01")]
    found = evaluate_adapter(
        EvaluationJob(
            version=2,
            base=tiny_model,
            base_fingerprint="tiny",
            candidate=trained,
            champion=champion,
            held_out=held_out,
            units={conversation.id: conversation.id for conversation in held_out},
            general=read_set(GENERAL)[:4],
            recipe=RECIPE,
            whole_model=True,
            probes=probes,
        )
    )
    assert found.sanity.changed
    assert all(pair.candidate != pair.base for pair in found.held_out)
    assert all((pair.champion is not None) == with_champion for pair in found.held_out)
    assert found.speed is not None
    assert found.speed.adapter_bytes < found.speed.base_bytes * 0.05, "it takes the place of the base"
    verdict = judge(found, GateThresholds(bootstrap_draws=100))
    assert not verdict.promoted
    assert "set BASE_MODEL to its folder, trained_models/v2" in verdict.reasons[-1]
