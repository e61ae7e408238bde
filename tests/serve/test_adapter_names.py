"""The names offered are those of this lineage, and the disk is read once for each."""

import shutil
from pathlib import Path

import pytest

from core.manifest import Manifest
from serve import adapter_names
from serve.adapter_names import AdapterNames


def publish(adapters: Path, n: int, lineage: str = "ours") -> None:
    (adapters / f"v{n}").mkdir(parents=True)
    manifest = Manifest(kind="adapter", version=n, files={"a": "0" * 64}, base_fingerprint=lineage)
    (adapters / f"v{n}" / "manifest.json").write_text(manifest.to_json())


def test_versions_of_another_base_and_spoilt_ones_are_not_offered(tmp_path: Path) -> None:
    publish(tmp_path, 10)
    publish(tmp_path, 2)
    publish(tmp_path, 3, "another")
    publish(tmp_path, 4)
    (tmp_path / "v4" / "manifest.json").write_text("{")
    found = AdapterNames(tmp_path, "ours")
    found.look()
    assert found.names == ("v2", "v10")


def test_what_comes_and_goes_is_seen_and_nothing_is_read_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = adapter_names.read_manifest
    monkeypatch.setattr(adapter_names, "read_manifest", lambda folder: read.append(folder.name) or original(folder))
    found = AdapterNames(tmp_path / "adapters", "ours")
    found.look()
    assert found.names == ()
    for n in (1, 2):
        publish(tmp_path / "adapters", n)
        found.look()
    shutil.rmtree(tmp_path / "adapters" / "v1")
    found.look()
    assert (found.names, read) == (("v2",), ["v1", "v2"])
