"""The base model as a folder on this machine: where it is, and a fingerprint that names its lineage."""

import hashlib
import json
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

BUNDLED = "SmolLM2-135M-Instruct"

# Written by whichever library version saved the folder; they say nothing of the model itself.
_VOLATILE_CONFIG_KEYS = frozenset({"_name_or_path", "transformers_version", "use_cache", "quantization_config"})
_TOKENIZER_KEYS = ("chat_template", "bos_token", "eos_token", "pad_token", "unk_token", "add_bos_token")
_SAMPLES = 64
_SAMPLE_BYTES = 4096


class BaseModelMissing(ValueError):
    """No usable folder for BASE_MODEL; the message is one sentence that says what to do."""


def resolve(base_model: str, models_dir: Path) -> Path:
    """The folder of `base_model`: the bundled model, a folder, or a Hub id fetched before; it never downloads."""
    for folder in _candidates(base_model, models_dir):
        if (folder / "config.json").is_file():
            return _complete(folder.resolve(), base_model)
    raise BaseModelMissing(_missing(base_model, models_dir))


def prepared_folder(base_model: str, models_dir: Path) -> Path:
    """Where the set-up puts `base_model`: its own folder under the models folder."""
    return models_dir / base_model.strip("/").replace("/", "--")


def is_hub_id(base_model: str) -> bool:
    """Whether the name reads as `owner/name` and not as a path."""
    owner, slash, name = base_model.partition("/")
    return bool(owner and slash and name) and "/" not in name and not base_model.startswith((".", "~"))


def fingerprint(folder: Path) -> str:
    """Sixteen hex digits that name the base: configuration, tokenizer, chat template, weight layout and samples.

    It reads some hundred kilobytes a weight file, so that a start stays quick; two fine-tunes of a model differ in it.
    """
    digest = hashlib.sha256()
    for name, content in _identity(folder):
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def parameters(folder: Path) -> int:
    """How many numbers the weights of a base hold; only the headers of its files are read."""
    from safetensors import safe_open

    count = 0
    for weights in folder.glob("*.safetensors"):
        with safe_open(weights, framework="numpy") as tensors:
            count += sum(prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    return count


def linear_layers(folder: Path) -> frozenset[str]:
    """Names of what an adapter can be put on: the matrices of a base, without embeddings, norms and head."""
    from safetensors import safe_open

    names: set[str] = set()
    for weights in folder.glob("*.safetensors"):
        with safe_open(weights, framework="numpy") as tensors:
            names.update(name for name in tensors.keys() if len(tensors.get_slice(name).get_shape()) == 2)  # noqa: SIM118
    layers = {name.removesuffix(".weight") for name in names if name.endswith(".weight")}
    return frozenset(layer for layer in layers if not layer.endswith(("embed_tokens", "lm_head", "wte", "wpe")))


def _candidates(base_model: str, models_dir: Path) -> Iterator[Path]:
    yield Path(base_model).expanduser()
    yield prepared_folder(base_model, models_dir)
    if is_hub_id(base_model):
        cached = _hub_cache(base_model)
        if cached is not None:
            yield cached


def _hub_cache(base_model: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(base_model, "config.json")
    return Path(found).parent if isinstance(found, str) else None


def _complete(folder: Path, base_model: str) -> Path:
    """`folder`, or an error that names what it lacks."""
    lacks = [name for name in ("tokenizer.json", "tokenizer_config.json") if not (folder / name).is_file()]
    if not list(folder.glob("*.safetensors")):
        lacks.append("*.safetensors")
    lacks += [shard for shard in _shards(folder) if not (folder / shard).is_file()]
    if lacks:
        raise BaseModelMissing(
            f"BASE_MODEL={base_model}: the folder {folder} lacks {', '.join(lacks)}; "
            "put the complete Hugging Face folder there (weights as safetensors), or delete it and run `make setup`."
        )
    return folder


def _missing(base_model: str, models_dir: Path) -> str:
    if base_model == BUNDLED:
        return f"The bundled model is not in {prepared_folder(base_model, models_dir)}: run `make setup`."
    if is_hub_id(base_model):
        return (
            f"BASE_MODEL={base_model} is neither in {prepared_folder(base_model, models_dir)} nor in the Hugging Face "
            "cache: run `make setup` with access to the Hub, or set BASE_MODEL to a folder that holds the model."
        )
    return (
        f"BASE_MODEL={base_model}: expected a folder with config.json, found none there: "
        "set BASE_MODEL to a Hugging Face model folder or to a Hub id (owner/name)."
    )


def _identity(folder: Path) -> Iterator[tuple[str, bytes]]:
    config = _json(folder / "config.json")
    yield "config.json", _canonical({key: value for key, value in config.items() if key not in _VOLATILE_CONFIG_KEYS})
    yield "tokenizer.json", (folder / "tokenizer.json").read_bytes()
    tokenizer = _json(folder / "tokenizer_config.json")
    yield "tokenizer_config.json", _canonical({key: tokenizer[key] for key in _TOKENIZER_KEYS if key in tokenizer})
    template = folder / "chat_template.jinja"
    if template.is_file():
        yield template.name, template.read_bytes()
    for weights in sorted(folder.glob("*.safetensors")):
        yield weights.name, _weight_samples(weights)


def _weight_samples(weights: Path) -> bytes:
    """The header and evenly spread blocks, so that equal shapes with other values differ."""
    size = weights.stat().st_size
    with weights.open("rb") as file:
        header = file.read(8 + int.from_bytes(file.read(8), "little"))
        start = file.tell()
        step = max(1, (size - start - _SAMPLE_BYTES) // _SAMPLES)
        blocks = []
        for index in range(_SAMPLES):
            file.seek(start + index * step)
            blocks.append(file.read(_SAMPLE_BYTES))
    return b"".join([str(size).encode(), header, *blocks])


def _shards(folder: Path) -> list[str]:
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return []
    return sorted(set(_json(index)["weight_map"].values()))


def _json(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise BaseModelMissing(
            f"{path}: expected a JSON object, found {type(content).__name__}; restore the model's file."
        )
    return content


def _canonical(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False).encode()
