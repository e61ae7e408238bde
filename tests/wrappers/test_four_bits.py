"""QLoRA on a CPU: a base that is really held in 4 bits, an adapter that learns, and nobody else pays for it."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from core.recipe import Recipe
from core.rendering import Rendered, render
from resources import adapters, folders
from tests.wrappers.tiny_model import short_conversations
from wrappers.adapter_job import AdapterJob, library_versions, train_adapter
from wrappers.checkpoints import Origin
from wrappers.lora_model import attach, load_base, load_tokenizer, token_losses, trainable
from wrappers.lora_scoring import mean_losses
from wrappers.packing import collate

pytestmark = pytest.mark.slow  # imports bitsandbytes

RECIPE = Recipe(
    method="qlora", rank=4, alpha=8, epochs=2, pack_tokens=256, tokens_per_step=512, learning_rate=5e-3, replay_share=0
)


@pytest.fixture
def conversations(tiny_model: Path) -> list[Rendered]:
    tokenizer = load_tokenizer(tiny_model)
    return [render(conversation, tokenizer, 512) for conversation in short_conversations(6)]


def test_linear_layers_are_held_in_4_bits_with_their_scales_quantised_too(tiny_model: Path) -> None:
    model = load_base(tiny_model, in_four_bits=True)
    weight = model.get_parameter("model.layers.0.mlp.up_proj.weight")
    assert (weight.dtype, weight.numel()) == (torch.uint8, 128 * 64 // 2)
    assert (weight.quant_state.quant_type, weight.quant_state.nested) == ("nf4", True)
    assert model.get_input_embeddings().weight.dtype == torch.bfloat16


def test_the_quantised_base_says_nearly_what_the_base_says(tiny_model: Path, conversations: list[Rendered]) -> None:
    whole, quantised = (mean_losses(load_base(tiny_model, in_four_bits=bits), conversations, 256) for bits in (0, 1))
    assert quantised == pytest.approx(whole, rel=0.02)
    assert quantised != whole


def test_gradients_pass_through_it_after_it_was_scored(tiny_model: Path, conversations: list[Rendered]) -> None:
    model = attach(load_base(tiny_model, in_four_bits=True), RECIPE)
    with torch.no_grad():
        for parameter in trainable(model).values():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)) * 0.1)

    def gradients() -> list[torch.Tensor]:
        model.train()
        loss = token_losses(model, collate(conversations)).mean()
        return list(torch.autograd.grad(loss, list(trainable(model).values())))

    before = gradients()
    mean_losses(model, conversations, 256)
    for again, first in zip(gradients(), before, strict=True):
        assert first.any()
        torch.testing.assert_close(again, first, atol=1e-4, rtol=1e-2)


def test_what_comes_of_it_is_an_adapter_that_helps_the_whole_base(tiny_model: Path, tmp_path: Path) -> None:
    chosen = short_conversations(16)
    staging = tmp_path / "staging"
    staging.mkdir()
    trained = train_adapter(AdapterJob(tiny_model, "tiny", chosen, [], RECIPE), staging)
    assert trained.result.final_loss < trained.result.first_loss
    origin = Origin(1, "tiny", "data", RECIPE, library_versions=library_versions(RECIPE))
    adapters.publish(staging, tmp_path / "v1", origin.manifest("adapter", folders.hashes(staging)))
    manifest = adapters.verify(tmp_path / "v1", "tiny")
    assert manifest.recipe["method"] == "qlora"
    assert "bitsandbytes" in manifest.library_versions
    from wrappers.lora_scoring import BASE, AdapterScorer

    scorer = AdapterScorer(load_base(tiny_model), {"it": tmp_path / "v1"}, 256)
    tokenizer = load_tokenizer(tiny_model)
    rendered = [render(conversation, tokenizer, 512) for conversation in chosen]
    assert sum(scorer.losses("it", rendered)) < sum(scorer.losses(BASE, rendered))


def test_who_trains_in_16_bits_does_not_import_the_package_for_4(tiny_model: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from core.recipe import Recipe\n"
        "from wrappers.lora_model import attach, load_base\n"
        f"attach(load_base(Path({str(tiny_model)!r})), Recipe())\n"
        "assert 'peft' in sys.modules; assert 'bitsandbytes' not in sys.modules\n"
        f"attach(load_base(Path({str(tiny_model)!r}), in_four_bits=True), Recipe(method='qlora'))\n"
        "assert 'bitsandbytes' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])
