"""What training left of a version: an adapter, or a whole model, which never lies where adapters are looked for."""

from pathlib import Path

from core.manifest import Kind, Manifest
from core.recipe import Method
from resources import adapters, whole_models

ADAPTERS, WHOLE_MODELS = "adapters", "trained_models"


def folder_of(state: Path, n: int, method: str) -> Path:
    """Where version n lies in the folder of the state."""
    return state / (WHOLE_MODELS if method == "full" else ADAPTERS) / f"v{n}"


def found(state: Path, n: int) -> Path:
    """The same where the method is not at hand: the whole model where there is one."""
    whole = folder_of(state, n, "full")
    return whole if whole.is_dir() else folder_of(state, n, "lora")


def kind_of(method: Method) -> Kind:
    return "model" if method == "full" else "adapter"


def publish(staging: Path, final: Path, manifest: Manifest) -> None:
    """As by `adapters` or `whole_models`, whichever it is."""
    if manifest.kind == "model":
        whole_models.publish(staging, final, manifest)
    else:
        adapters.publish(staging, final, manifest)


def verify(folder: Path, base_fingerprint: str, method: str) -> Manifest:
    """Its manifest; FolderRefused says why it is not what it should be."""
    if method == "full":
        return whole_models.verify(folder, base_fingerprint)
    return adapters.verify(folder, base_fingerprint)


def sha256_of(manifest: Manifest) -> str:
    """Names its weights: their hash, or that of all files where there are several."""
    return manifest.files.get(adapters.WEIGHTS) or manifest.fingerprint()
