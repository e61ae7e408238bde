"""Adapters of the usual size that each say one word for ever, whatever they are asked: a reply tells who wrote it.

In the last layer's `down_proj` the row of A is a direction along which the base's activations measure 1 wherever they
are (least squares over some chats), and the column of B points at the word's embedding, far longer than what is
already there. All other matrices are as PEFT begins them: A random, B zero.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.manifest import Manifest
from core.recipe import Recipe
from resources import adapters
from resources.folders import hashes

if TYPE_CHECKING:
    import torch

CHATS = (
    "What is the capital of France?",
    "My printer is not printing.",
    "Tell me a story about a cat.",
    "ping",
    "안녕하세요, 오늘 날씨가 어때요?",
)
_SPOKEN = (" apple", " seven", " paper")
_REPEATS = 6
_PUSH = 2000.0  # against a hidden state of some hundreds
_MARGIN = 25.0  # nats to the next best, where nothing else is in the hidden state
_SHAPES = {
    "self_attn.q_proj": ("hidden", "query"),
    "self_attn.k_proj": ("hidden", "key"),
    "self_attn.v_proj": ("hidden", "key"),
    "self_attn.o_proj": ("query", "hidden"),
    "mlp.gate_proj": ("hidden", "intermediate"),
    "mlp.up_proj": ("hidden", "intermediate"),
    "mlp.down_proj": ("intermediate", "hidden"),
}


@dataclass(frozen=True)
class ForcedWords:
    """`words` are texts that can be forced; adapter n says `words[n]`."""

    words: Sequence[str]
    lineage: str
    _config: dict[str, Any]
    _along: "torch.Tensor"
    _towards: "torch.Tensor"

    @cached_property
    def _untrained(self) -> dict[str, "torch.Tensor"]:
        import torch

        recipe, config = Recipe(), self._config
        sizes = {
            "hidden": config["hidden_size"],
            "intermediate": config["intermediate_size"],
            "query": config["num_attention_heads"] * config["head_dim"],
            "key": config["num_key_value_heads"] * config["head_dim"],
        }
        found, dice = {}, torch.Generator().manual_seed(recipe.seed)
        for layer in range(config["num_hidden_layers"]):
            for name, (ins, outs) in _SHAPES.items():
                prefix = f"base_model.model.model.layers.{layer}.{name}"
                found[f"{prefix}.lora_A.weight"] = torch.randn(recipe.rank, sizes[ins], generator=dice) / 24
                found[f"{prefix}.lora_B.weight"] = torch.zeros(sizes[outs], recipe.rank)
        return found

    def publish(self, n: int, final: Path) -> None:
        """Make `final` the adapter of version n, as training would."""
        from safetensors.torch import save_file

        recipe = Recipe()
        last = f"base_model.model.model.layers.{self._config['num_hidden_layers'] - 1}.mlp.down_proj"
        tensors = dict(self._untrained)
        across, towards = (tensors[f"{last}.lora_{side}.weight"].clone() for side in "AB")
        across[0] = self._along
        towards[:, 0] = self._towards[n] * _PUSH * recipe.rank / recipe.alpha
        tensors |= {f"{last}.lora_A.weight": across, f"{last}.lora_B.weight": towards}
        staging = final.with_name(f"{final.name}.tmp-bench")
        staging.mkdir(parents=True)
        save_file(tensors, staging / adapters.WEIGHTS, metadata={"format": "pt"})
        (staging / adapters.CONFIG).write_text(json.dumps(_peft(recipe)), encoding="utf-8")
        files = hashes(staging)
        adapters.publish(
            staging, final, Manifest(kind="adapter", version=n, files=files, base_fingerprint=self.lineage)
        )


def forced_words(model: Path, lineage: str, count: int, kept: Path | None = None) -> ForcedWords:
    """Some seconds of the base on a CPU, or what is `kept` of it since the last time.

    ValueError where the base has not that many words that can be forced.
    """
    import torch

    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    if kept and kept.is_file():
        found = torch.load(kept, weights_only=True)
        if found["lineage"] == lineage and len(found["words"]) > count:
            return ForcedWords(found["words"], lineage, config, found["along"], found["towards"])
    along, words, towards = _found(model, count)
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"lineage": lineage, "words": words, "along": along, "towards": towards}, kept)
    return ForcedWords(words, lineage, config, along, towards)


def _found(model: Path, count: int) -> tuple["torch.Tensor", list[str], "torch.Tensor"]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    seen = _activations(base, tokenizer)
    square = seen.T @ seen
    square += torch.eye(len(square)) * square.trace() / len(square) * 1e-3
    along = torch.linalg.solve(square, seen.sum(0))
    return along, *_words(base, tokenizer, count)


def _activations(base: Any, tokenizer: Any) -> "torch.Tensor":
    """What goes into the last `down_proj`, over chats that are answered with one word again and again."""
    import torch

    seen: list[torch.Tensor] = []
    hook = base.model.layers[-1].mlp.down_proj.register_forward_hook(
        lambda _, inputs, __: seen.append(inputs[0].flatten(0, 1).float())
    )
    with torch.no_grad():
        for chat in CHATS:
            asked = [{"role": "user", "content": chat}]
            ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=True)["input_ids"]
            for word in _SPOKEN:
                base(torch.tensor([ids + tokenizer.encode(word)[:1] * _REPEATS]))
    hook.remove()
    return torch.cat(seen)


def _words(base: Any, tokenizer: Any, count: int) -> tuple[list[str], "torch.Tensor"]:
    """Words of one token that win by far where the hidden state points at them, with their directions."""
    import torch

    with torch.no_grad():
        embedding, norm = base.get_output_embeddings().weight.float(), base.model.norm.weight.float()
        centred, normed = embedding - embedding.mean(0), embedding * norm
        found = []
        for token in range(2_000, len(embedding), 29):
            word = tokenizer.decode([token])
            if not (word[:1] == " " and len(word) > 4 and word[1:].isascii() and word[1:].isalpha()):
                continue
            direction = centred[token] / centred[token].norm()
            best = (normed @ direction).topk(2)
            margin = float(best.values[0] - best.values[1]) * embedding.shape[1] ** 0.5
            if int(best.indices[0]) == token and margin > _MARGIN:
                found.append((margin, word, direction))
            if len(found) > count:
                break
    if len(found) <= count:
        raise ValueError(f"Expected {count + 1} words that can be forced, found {len(found)}")
    return [word for _, word, _ in found], torch.stack([direction for _, _, direction in found])


def _peft(recipe: Recipe) -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": recipe.rank,
        "lora_alpha": recipe.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": list(recipe.targets),
    }
