import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.manifest import Manifest
from resources import adapters, folders
from resources.adapters import CONFIG, WEIGHTS, AdapterRefused

A, B = "base_model.model.layers.0.q_proj.lora_A.weight", "base_model.model.layers.0.q_proj.lora_B.weight"
SANE = {
    "peft_type": "LORA",
    "r": 2,
    "bias": "none",
    "use_dora": False,
    "modules_to_save": None,
    "rank_pattern": {},
    "alpha_pattern": {},
    "target_modules": ["q_proj"],
}
ONES = {A: np.ones((2, 4), np.float32), B: np.ones((4, 2), np.float32)}


def stage(folder: Path, tensors: dict[str, np.ndarray] = ONES, **config: object) -> Path:
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps({**SANE, **config}), encoding="utf-8")
    return folder


def manifest_of(folder: Path, **changed: object) -> Manifest:
    fields = {"kind": "adapter", "version": 3, "files": folders.hashes(folder), "base_fingerprint": "base"}
    return Manifest.model_validate({**fields, **changed})


def seal(folder: Path, **changed: object) -> Path:
    """Give whatever lies in the folder a manifest with right hashes, as a hostile publisher could."""
    (folder / "manifest.json").write_text(manifest_of(folder, **changed).to_json(), encoding="utf-8")
    return folder


def test_a_published_adapter_is_verified(tmp_path: Path) -> None:
    staging = stage(tmp_path / "v3.tmp")
    adapters.publish(staging, tmp_path / "v3", manifest_of(staging))
    assert adapters.verify(tmp_path / "v3", "base").version == 3


def test_an_adapter_for_another_base_is_refused_with_both_names(tmp_path: Path) -> None:
    with pytest.raises(AdapterRefused, match=r"for base ours .* found one for base"):
        adapters.verify(seal(stage(tmp_path / "v3")), "ours")


def test_a_half_written_adapter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AdapterRefused, match=r"manifest\.json"):
        adapters.verify(stage(tmp_path / "v3"), "base")


def test_a_wrong_hash_is_refused(tmp_path: Path) -> None:
    folder = seal(stage(tmp_path / "v3"))
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(AdapterRefused, match="Expected SHA-256"):
        adapters.verify(folder, "base")


def test_another_kind_of_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AdapterRefused, match="found 'checkpoint'"):
        adapters.verify(seal(stage(tmp_path / "v3"), kind="checkpoint"), "base")


@pytest.mark.parametrize("name", ["adapter_model.bin", "weights.pt", "config.pkl", "README.md"])
def test_anything_beside_safetensors_and_json_is_refused_though_the_manifest_lists_it(
    tmp_path: Path, name: str
) -> None:
    folder = stage(tmp_path / "v3")
    (folder / name).write_bytes(b"x")
    with pytest.raises(AdapterRefused, match="Expected the files"):
        adapters.verify(seal(folder), "base")


def test_a_pickle_in_place_of_the_weights_is_refused(tmp_path: Path) -> None:
    folder = stage(tmp_path / "v3")
    (folder / WEIGHTS).unlink()
    (folder / "adapter_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(AdapterRefused, match="Expected the files"):
        adapters.verify(seal(folder), "base")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("peft_type", "PREFIX_TUNING"),
        ("r", 65),
        ("r", 0),
        ("r", "16"),
        ("r", True),
        ("bias", "all"),
        ("use_dora", True),
        ("modules_to_save", ["lm_head"]),
        ("rank_pattern", {"q_proj": 128}),
        ("alpha_pattern", {"q_proj": 999}),
        ("target_modules", []),
    ],
)
def test_a_configuration_the_engine_cannot_serve_is_refused_by_name(tmp_path: Path, key: str, value: object) -> None:
    with pytest.raises(AdapterRefused, match=rf"{key} .*found"):
        adapters.verify(seal(stage(tmp_path / "v3", **{key: value})), "base")


@pytest.mark.parametrize("text", ["[1]", "{", "\xff"])
def test_a_configuration_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    folder = stage(tmp_path / "v3")
    (folder / CONFIG).write_bytes(text.encode("latin-1"))
    with pytest.raises(AdapterRefused, match="Expected"):
        adapters.verify(seal(folder), "base")


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({**ONES, A: np.full((2, 4), np.nan, np.float32)}, "NaN or infinity in .*lora_A"),
        ({**ONES, B: np.full((4, 2), np.inf, np.float16)}, "NaN or infinity in .*lora_B"),
        ({**ONES, "lm_head.weight": np.ones((2, 2), np.float32)}, "only LoRA matrices"),
        ({**ONES, A: np.ones((65, 4), np.float32)}, "rank 1 to 64"),
        ({**ONES, A: np.ones((2, 4, 1), np.float32)}, "rank 1 to 64"),
        ({}, "only LoRA matrices"),
    ],
)
def test_weights_that_must_not_be_loaded_are_refused(tmp_path: Path, tensors: dict[str, np.ndarray], says: str) -> None:
    with pytest.raises(AdapterRefused, match=says):
        adapters.verify(seal(stage(tmp_path / "v3", tensors)), "base")


def test_weights_that_are_no_safetensors_are_refused(tmp_path: Path) -> None:
    folder = stage(tmp_path / "v3")
    (folder / WEIGHTS).write_bytes(b"\x80\x04 a pickle, perhaps")
    with pytest.raises(AdapterRefused, match="header"):
        adapters.verify(seal(folder), "base")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda staging: stage(staging, {**ONES, A: np.full((2, 4), np.nan, np.float32)}),
        lambda staging: stage(staging, bias="all"),
        lambda staging: (staging / WEIGHTS).unlink(),
    ],
)
def test_what_would_be_refused_is_not_published(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    staging = stage(tmp_path / "v3.tmp")
    spoil(staging)
    with pytest.raises(AdapterRefused):
        adapters.publish(staging, tmp_path / "v3", manifest_of(staging))
    assert not (tmp_path / "v3").exists()
