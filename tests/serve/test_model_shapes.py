from pathlib import Path

from core.manifest import MANIFEST_NAME
from serve.model_shapes import Shelf


def test_a_whole_model_is_weighed_where_it_lies_and_what_is_removed_is_not_weighed(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "adapters", "base", "lineage", "unnamed")
    for folder, weights in (("adapters/v1", 10), ("trained_models/v2", 300)):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / MANIFEST_NAME).write_text("{}", encoding="utf-8")
        (tmp_path / folder / "model.safetensors").write_bytes(b"x" * weights)
    assert [shelf.bytes_of(n) for n in (1, 2, 3)] == [12, 302, None]
