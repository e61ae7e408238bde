"""Full fine-tuning: the base with every weight trained, in fp32 under bf16 autocast, and written as a model folder."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from wrappers.lora_model import load_base

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_TOKENIZER = (
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.*",
    "merges.txt",
)


def load_trainable(folder: Path, device: str = "cpu") -> "PreTrainedModel":
    """The base in fp32: in bf16 most steps of a small rate would be rounded away."""
    return load_base(folder, device, "float32").requires_grad_(True)


def save_whole(model: "PreTrainedModel", folder: Path, base: Path) -> None:
    """Write weights in the type that the base has them in, and the base's own tokenizer beside them."""
    from transformers import AutoConfig

    dtype = AutoConfig.from_pretrained(base, local_files_only=True).dtype
    whole = model.to(dtype=dtype) if dtype is not None else model
    whole.save_pretrained(folder)
    for pattern in _TOKENIZER:
        for path in base.glob(pattern):
            shutil.copyfile(path, folder / path.name)
