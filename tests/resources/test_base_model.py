"""The base model on disk: found or explained, and named by a fingerprint that follows the model and nothing else."""

import json
import struct
from pathlib import Path

import pytest

from resources.base_model import BUNDLED, BaseModelMissing, fingerprint, prepared_folder, resolve


def write_model(folder: Path, *, weight: float = 1.0, config: dict[str, object] | None = None) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_size": 4, **(config or {})}))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>"}))
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    values = struct.pack("<4096f", *[weight] * 4096)
    header = json.dumps({"w": {"dtype": "F32", "shape": [4096], "data_offsets": [0, len(values)]}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + values)
    return folder


@pytest.fixture(autouse=True)
def no_hub_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.base_model._hub_cache", lambda base_model: None)


def test_the_bundled_model_is_found_where_the_setup_puts_it(tmp_path: Path) -> None:
    folder = write_model(tmp_path / BUNDLED)
    assert resolve(BUNDLED, tmp_path) == folder


def test_a_folder_is_its_own_answer(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "mine")
    assert resolve(str(folder), tmp_path / "models") == folder


def test_a_hub_id_is_found_where_the_setup_puts_it(tmp_path: Path) -> None:
    folder = write_model(prepared_folder("owner/name", tmp_path))
    assert resolve("owner/name", tmp_path) == folder


@pytest.mark.parametrize(
    ("base_model", "remedy"),
    [
        (BUNDLED, "run `make setup`"),
        ("owner/name", "run `make setup` with access to the Hub"),
        ("./none", "set BASE_MODEL"),
    ],
)
def test_a_missing_model_is_one_sentence_with_the_remedy(tmp_path: Path, base_model: str, remedy: str) -> None:
    with pytest.raises(BaseModelMissing, match=remedy) as caught:
        resolve(base_model, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("lost", ["tokenizer.json", "tokenizer_config.json", "model.safetensors"])
def test_an_incomplete_folder_is_refused_by_the_file_it_lacks(tmp_path: Path, lost: str) -> None:
    folder = write_model(tmp_path / "m")
    (folder / lost).unlink()
    with pytest.raises(BaseModelMissing, match=lost if "safetensors" not in lost else "safetensors"):
        resolve(str(folder), tmp_path)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": "part-2.safetensors"}}))
    with pytest.raises(BaseModelMissing, match=r"part-2\.safetensors"):
        resolve(str(folder), tmp_path)


def test_a_copy_has_the_same_fingerprint_whichever_library_saved_it(tmp_path: Path) -> None:
    first = write_model(tmp_path / "a", config={"transformers_version": "5.1", "_name_or_path": "x"})
    second = write_model(tmp_path / "b", config={"transformers_version": "5.2"})
    assert fingerprint(first) == fingerprint(second)


def test_a_fine_tune_of_the_same_shape_is_another_base(tmp_path: Path) -> None:
    assert fingerprint(write_model(tmp_path / "a")) != fingerprint(write_model(tmp_path / "b", weight=1.5))


@pytest.mark.parametrize("file", ["chat_template.jinja", "tokenizer.json"])
def test_another_template_or_tokenizer_is_another_base(tmp_path: Path, file: str) -> None:
    folder = write_model(tmp_path / "m")
    before = fingerprint(folder)
    (folder / file).write_text("[]")
    assert fingerprint(folder) != before


def test_another_configuration_is_another_base(tmp_path: Path) -> None:
    assert fingerprint(write_model(tmp_path / "a")) != fingerprint(
        write_model(tmp_path / "b", config={"rope_theta": 10_000})
    )
