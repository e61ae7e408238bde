"""Whole models that were trained here: what may be published, and what BASE_MODEL may be set to. No pickle, no code."""

from pathlib import Path

from core.manifest import MANIFEST_NAME, Manifest
from resources import folders
from resources.folders import FolderRefused
from resources.weights import is_finite, read_header

CONFIG = "config.json"
_ENDINGS = (".safetensors", ".json", ".jinja", ".txt", ".model")


class WholeModelRefused(FolderRefused):
    """A trained model that is not used; the message names expected, found and where."""


def publish(staging: Path, final: Path, manifest: Manifest) -> None:
    """Check the model in `staging`, then make it `final` in one rename; WholeModelRefused leaves `final` untouched."""
    _check(staging)
    folders.publish(staging, final, manifest)


def verify(folder: Path, base_fingerprint: str) -> Manifest:
    """The manifest of a model that was trained from this base; WholeModelRefused says why another is none."""
    try:
        manifest = folders.check(folder)
    except FolderRefused as error:
        raise WholeModelRefused(str(error)) from error
    if manifest.kind != "model":
        raise WholeModelRefused(f"Expected kind 'model' in {folder / MANIFEST_NAME}, found {manifest.kind!r}")
    if manifest.base_fingerprint != base_fingerprint:
        raise WholeModelRefused(
            f"Expected a model trained from base {base_fingerprint} in {folder}, "
            f"found one from {manifest.base_fingerprint}"
        )
    _check(folder)
    return manifest


def _check(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    odd = [name for name in names if not name.endswith(_ENDINGS)]
    if odd or CONFIG not in names:
        raise WholeModelRefused(f"Expected {CONFIG} and files that end in {_ENDINGS} in {folder}, found {odd or names}")
    weights = list(folder.glob("*.safetensors"))
    if not weights:
        raise WholeModelRefused(f"Expected weights as safetensors in {folder}, found none")
    for path in weights:
        _check_finite(path)


def _check_finite(path: Path) -> None:
    try:
        header = read_header(path)
        wrong = next((name for name in header.tensors if not is_finite(path, header, name)), None)
    except (OSError, ValueError) as error:
        raise WholeModelRefused(str(error)) from error
    if wrong is not None:
        raise WholeModelRefused(f"Expected finite weights in {path}, found NaN or infinity in {wrong}: train it anew")
