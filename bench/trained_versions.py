"""Versions for benches that need some: made in the store as the loop makes them, of an adapter with random weights."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from core.conversation import Conversation, Message
from core.manifest import Manifest
from core.recipe import ALL_LINEAR
from core.verdict import GateThresholds, Verdict
from resources import adapters, base_model
from resources.folders import hashes
from resources.settings import Settings
from resources.store import open_store
from resources.tables import utc_now

BY = "the bench"
_SIZE = 0.02  # of each entry: the answers are others than the base's


def promote(settings: Settings, n: int) -> None:
    """Make `vN`, the next version of this state, and let it be promoted."""
    model = base_model.resolve(settings.base_model, settings.models_dir)
    lineage = base_model.fingerprint(model)
    store = open_store(settings.database_url, live_defaults=settings.live(), lineage=lineage)
    said = Conversation(
        id=f"bench-{n}",
        messages=(Message(role="user", content=f"Which version are you? ({n})"),),
        reply=f"The one with the number {n}.",
        source="import",
        provenance="human",
        created_at=utc_now(),
    )
    store.conversations.capture([said])
    claim = store.versions.claim(BY)
    if claim is None or claim.n != n:
        raise RuntimeError(f"Expected to claim v{n}, found {claim}")
    _publish(model, settings.state_dir / "adapters" / f"v{n}", n, lineage, settings.finetune_lora_rank)
    verdict = Verdict(promoted=True, reasons=("a bench needs it",), checks=(), thresholds=GateThresholds())
    store.versions.mark_trained(claim, "a" * 64, {})
    store.versions.set_verdict(claim, verdict, "report.md")
    store.versions.conclude(claim, None)
    store.close()


def _publish(model: Path, final: Path, n: int, lineage: str, rank: int) -> None:
    staging = final.with_name(f"{final.name}.tmp-bench")
    staging.mkdir(parents=True)
    save_file(_matrices(model, n, rank), staging / adapters.WEIGHTS)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": 2 * rank,
        "bias": "none",
        "target_modules": list(ALL_LINEAR),
    }
    (staging / adapters.CONFIG).write_text(json.dumps(config), encoding="utf-8")
    manifest = Manifest(
        kind="adapter", version=n, files=hashes(staging), base_fingerprint=lineage, dataset_hash="0" * 64
    )
    adapters.publish(staging, final, manifest)


def _matrices(model: Path, seed: int, rank: int) -> dict[str, "np.ndarray[tuple[int, ...], np.dtype[np.float32]]"]:
    """A and B of every linear layer, by the names that PEFT gives them."""
    sizes = json.loads((model / "config.json").read_text(encoding="utf-8"))
    dice, found = np.random.default_rng(seed), {}
    for layer in range(sizes["num_hidden_layers"]):
        for name, (ins, outs) in _shapes(sizes).items():
            part = "self_attn" if name in ("q_proj", "k_proj", "v_proj", "o_proj") else "mlp"
            prefix = f"base_model.model.model.layers.{layer}.{part}.{name}"
            found[f"{prefix}.lora_A.weight"] = (_SIZE * dice.standard_normal((rank, ins))).astype(np.float32)
            found[f"{prefix}.lora_B.weight"] = (_SIZE * dice.standard_normal((outs, rank))).astype(np.float32)
    return found


def _shapes(sizes: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Inputs and outputs of each linear layer of a Llama-like model."""
    hidden, inner, heads = sizes["hidden_size"], sizes["intermediate_size"], sizes["num_attention_heads"]
    head = sizes.get("head_dim") or hidden // heads
    keys = head * sizes["num_key_value_heads"]
    return {
        "q_proj": (hidden, head * heads),
        "k_proj": (hidden, keys),
        "v_proj": (hidden, keys),
        "o_proj": (head * heads, hidden),
        "gate_proj": (hidden, inner),
        "up_proj": (hidden, inner),
        "down_proj": (inner, hidden),
    }
