"""One real engine for all tests of this folder that ask for it (half a minute to start), and an ingress without one."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from core.manifest import Manifest
from resources import adapters, base_model
from resources.folders import hashes
from resources.settings import read_settings
from serve import vllm_compat
from serve.engine import Engine
from serve.engine_client import Item
from serve.vllm_compat import EngineOptions, VllmBackend
from tests.serve.ingress_fixtures import (  # noqa: F401 (fixtures of the ingress tests)
    anyio_backend,
    api,
    changes,
    client,
    deps,
    engine,
    follower,
    migrated,
    store,
)

Publish = Callable[..., Path]

_RANK = 8


@dataclass
class RealEngine:
    """An engine, its vLLM and the event loop they live in."""

    runner: asyncio.Runner
    backend: VllmBackend
    engine: Engine
    adapters: Path
    lineage: str
    model: Path
    notes: dict[str, Any] = field(default_factory=dict)

    def chat(self, body: dict[str, Any]) -> AsyncGenerator[Item, None]:
        return self.engine.chat(body)

    @property
    def unfinished(self) -> int:
        """Requests that vLLM still works on."""
        return self.backend.unfinished


@pytest.fixture(scope="session")
def real_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealEngine]:
    settings = read_settings()
    model = base_model.resolve(settings.base_model, settings.models_dir)
    folder, lineage = tmp_path_factory.mktemp("adapters"), base_model.fingerprint(model)
    os.environ.update({"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "WARNING"})
    options = EngineOptions(model=str(model), adapters=2, lora_rank=_RANK, max_num_seqs=8)
    with asyncio.Runner() as runner:
        backend = runner.run(vllm_compat.boot(options))
        engine = Engine(
            backend, adapters=folder, verify=adapters.verify, model="base", lineage=lineage, capacity=options.adapters
        )
        yield RealEngine(runner, backend, engine, folder, lineage, model)
        backend.close()


@pytest.fixture(scope="session")
def publish(real_engine: RealEngine) -> Publish:
    """Makes `vN`: random matrices far from zero, so that its answers cannot be taken for the base's."""

    def make(n: int, *, scale: float = 0.1, hidden: int | None = None) -> Path:
        config = json.loads((real_engine.model / "config.json").read_text())
        staging, final = real_engine.adapters / f"v{n}.tmp-test", real_engine.adapters / f"v{n}"
        staging.mkdir()
        save_file(_matrices(config, np.random.default_rng(n), scale, hidden), staging / adapters.WEIGHTS)
        (staging / adapters.CONFIG).write_text(json.dumps(_peft_config()))
        manifest = Manifest(
            kind="adapter",
            version=n,
            files=hashes(staging),
            base_fingerprint=real_engine.lineage,
            dataset_hash="0" * 64,
        )
        adapters.publish(staging, final, manifest)
        return final

    return make


def _matrices(
    config: dict[str, Any], dice: np.random.Generator, scale: float, hidden: int | None
) -> dict[str, "np.ndarray[Any, Any]"]:
    width = hidden or config["hidden_size"]
    tensors = {}
    for layer in range(config["num_hidden_layers"]):
        for name, ins, outs in (
            ("mlp.gate_proj", width, config["intermediate_size"]),
            ("mlp.down_proj", config["intermediate_size"], width),
        ):
            prefix = f"base_model.model.model.layers.{layer}.{name}"
            tensors[f"{prefix}.lora_A.weight"] = (dice.standard_normal((_RANK, ins)) * scale).astype(np.float32)
            tensors[f"{prefix}.lora_B.weight"] = (dice.standard_normal((outs, _RANK)) * scale).astype(np.float32)
    return tensors


def _peft_config() -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": _RANK,
        "lora_alpha": 2 * _RANK,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": ["gate_proj", "down_proj"],
    }
