import pytest
from pydantic import ValidationError

from core.manifest import Manifest
from core.recipe import Recipe

SOUND = {
    "kind": "adapter",
    "version": 3,
    "files": {"adapter_model.safetensors": "a" * 64},
    "base_fingerprint": "b" * 64,
    "recipe": Recipe().model_dump(mode="json"),
    "counts": {"train": 40},
}


def test_a_manifest_is_the_same_bytes_whatever_the_order_it_was_built_in() -> None:
    manifest, turned = Manifest(**SOUND), Manifest(**dict(reversed(SOUND.items())))
    assert manifest.to_json() == turned.to_json()
    assert manifest.fingerprint() == turned.fingerprint()
    assert Manifest.from_json(manifest.to_json()) == manifest


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("files", {}),
        ("files", {"a.bin": "short"}),
        ("files", {"../escape": "a" * 64}),
        ("files", {"sub/folder": "a" * 64}),
        ("files", {".hidden": "a" * 64}),
        ("kind", "pickle"),
        ("version", 0),
        ("format", 2),
        ("base_fingerprint", ""),
    ],
)
def test_a_manifest_that_cannot_be_true_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        Manifest(**{**SOUND, field: value})


def test_half_a_manifest_is_refused() -> None:
    text = Manifest(**SOUND).to_json()
    with pytest.raises(ValueError, match="Invalid JSON"):
        Manifest.from_json(text[: len(text) // 2])
