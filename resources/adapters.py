"""Adapter folders: what may be published and what may be loaded. Safetensors and JSON only, checked without torch."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from core.manifest import MANIFEST_NAME, Manifest
from resources import folders
from resources.folders import FolderRefused
from resources.weights import Header, is_finite, read_header

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
MAX_RANK = 64
MAX_BYTES = 4 << 30
_CONFIG_LIMIT = 1 << 20


class AdapterRefused(FolderRefused):
    """An adapter that is not served; the message names expected, found and where."""


def publish(staging: Path, final: Path, manifest: Manifest) -> None:
    """Check the adapter in `staging`, then make it `final` in one rename; AdapterRefused leaves `final` untouched."""
    _check_config(staging / CONFIG)
    _check_weights(staging / WEIGHTS)
    folders.publish(staging, final, manifest)


def verify(folder: Path, base_fingerprint: str) -> Manifest:
    """The manifest of an adapter that may be loaded on this base; AdapterRefused says why another may not."""
    try:
        manifest = folders.check(folder)
    except FolderRefused as error:
        raise AdapterRefused(str(error)) from error
    if manifest.kind != "adapter":
        raise AdapterRefused(f"Expected kind 'adapter' in {folder / MANIFEST_NAME}, found {manifest.kind!r}")
    if manifest.base_fingerprint != base_fingerprint:
        raise AdapterRefused(
            f"Expected an adapter for base {base_fingerprint} in {folder}, found one for {manifest.base_fingerprint}: "
            "set BASE_MODEL back to the base it was trained on, or train a new version"
        )
    if set(manifest.files) != {WEIGHTS, CONFIG}:
        raise AdapterRefused(
            f"Expected the files {sorted([WEIGHTS, CONFIG])} in {folder}, found {sorted(manifest.files)}"
        )
    _check_config(folder / CONFIG)
    _check_weights(folder / WEIGHTS)
    return manifest


def back_up(folder: Path, target: Path, base_fingerprint: str) -> Manifest:
    """A whole copy of `folder` at `target`, which is kept if it is whole already; AdapterRefused as by `verify`."""
    manifest = verify(folder, base_fingerprint)
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = target.with_name(f"{target.name}.tmp-{os.getpid()}")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    for name in manifest.files:
        shutil.copyfile(folder / name, staging / name)
    folders.publish(staging, target, manifest)
    return verify(target, base_fingerprint)


def _check_config(path: Path) -> None:
    config = _read_config(path)
    problems = [
        f"{key} {expected}, found {config.get(key)!r}"
        for key, expected, holds in _DEMANDS
        if not holds(config.get(key))
    ]
    if problems:
        raise AdapterRefused(f"Expected in {path}: " + "; ".join(problems))


def _read_config(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _CONFIG_LIMIT:
            raise AdapterRefused(f"Expected at most {_CONFIG_LIMIT} bytes in {path}, found {path.stat().st_size}")
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AdapterRefused(f"Expected {CONFIG} at {path}, found {error.strerror}") from error
    except ValueError as error:
        raise AdapterRefused(f"Expected JSON in {path}, found text that does not read: {error}") from error
    if not isinstance(config, dict):
        raise AdapterRefused(f"Expected a JSON object in {path}, found {type(config).__name__}")
    return config


def _is_rank(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_RANK


# What the engine can load as a plain LoRA; anything else changes the base or needs code of its own.
_DEMANDS = (
    ("peft_type", "'LORA'", lambda value: value == "LORA"),
    ("r", f"between 1 and {MAX_RANK}", _is_rank),
    ("bias", "'none'", lambda value: value == "none"),
    ("use_dora", "false", lambda value: value in (None, False)),
    ("modules_to_save", "empty", lambda value: not value),
    ("rank_pattern", "empty", lambda value: not value),
    ("alpha_pattern", "empty", lambda value: not value),
    ("target_modules", "at least one module", bool),
)


def _check_weights(path: Path) -> None:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise AdapterRefused(f"Expected at most {MAX_BYTES} bytes in {path}, found {size}")
        header = read_header(path)
        _check_names(path, header)
        _check_finite(path, header)
    except OSError as error:
        raise AdapterRefused(f"Expected {WEIGHTS} at {path}, found {error.strerror}") from error
    except ValueError as error:
        raise AdapterRefused(str(error)) from error


def _check_names(path: Path, header: Header) -> None:
    odd = sorted(name for name in header.tensors if not name.endswith((".lora_A.weight", ".lora_B.weight")))
    if odd or not header.tensors:
        raise AdapterRefused(f"Expected only LoRA matrices A and B in {path}, found {odd[:5] or 'no tensors'}")
    for name, tensor in header.tensors.items():
        rank = tensor.shape[0 if ".lora_A." in name else -1] if len(tensor.shape) == 2 else 0
        if not 1 <= rank <= MAX_RANK:
            raise AdapterRefused(
                f"Expected a matrix of rank 1 to {MAX_RANK} for {name} in {path}, found shape {tensor.shape}"
            )


def _check_finite(path: Path, header: Header) -> None:
    for name in header.tensors:
        if not is_finite(path, header, name):
            raise AdapterRefused(f"Expected finite weights in {path}, found NaN or infinity in {name}: train it anew")
