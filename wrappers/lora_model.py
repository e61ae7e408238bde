"""A frozen base with LoRA matrices on it: loading, attaching, the loss of a packed row, and the files of an adapter.

Written for CPU and CUDA alike (bf16 base, fp32 adapter under bf16 autocast, SDPA). Only the CPU path has been run.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.recipe import ALL_LINEAR, Recipe
from wrappers import four_bits
from wrappers.packed_attention import PACKED, register
from wrappers.packing import Batch

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"

# Rows of logits turned to fp32 at once: a vocabulary of 150,000 in fp32 is 600 KB a row.
_LOSS_ROWS = 256


def pick_device() -> str:
    """CUDA where there is one, else the CPU; of several processes that train together each has a GPU of its own."""
    import torch

    if not torch.cuda.is_available():
        return "cpu"
    rank = os.environ.get("LOCAL_RANK")
    if rank is None:
        return "cuda"
    if int(rank) >= torch.cuda.device_count():
        raise RuntimeError(
            f"Expected a GPU for each of {os.environ.get('WORLD_SIZE')} processes that train together, found "
            f"{torch.cuda.device_count()}: lower FINETUNE_PROCESSES"
        )
    return f"cuda:{rank}"


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer of a prepared model folder; nothing is downloaded."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def load_base(
    folder: Path, device: str = "cpu", dtype: str = "bfloat16", *, in_four_bits: bool = False
) -> "PreTrainedModel":
    """The base model with frozen weights; nothing is downloaded."""
    import torch
    from transformers import AutoModelForCausalLM

    register()
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=getattr(torch, dtype),
        attn_implementation=PACKED,
        local_files_only=True,
        use_safetensors=True,
        **(four_bits.loading_options(device) if in_four_bits else {}),
    )
    if in_four_bits:
        four_bits.stay_trainable(model)
    else:
        four_bits.hide_from_peft()
        model = model.to(device)
    return model.requires_grad_(False).eval()


def attach(base: "PreTrainedModel", recipe: Recipe) -> "PeftModel":
    """A fresh adapter on `base`, its matrices in fp32; equal recipes give equal matrices."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(recipe.seed)
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules="all-linear" if recipe.targets == ALL_LINEAR else list(recipe.targets),
        task_type="CAUSAL_LM",
    )
    return get_peft_model(base, config)


def load_adapter(base: "PreTrainedModel", folder: Path, name: str = "default", trainable: bool = False) -> "PeftModel":
    """`base` with the adapter of `folder` on it; the folder is verified by the caller."""
    from peft import PeftModel

    return PeftModel.from_pretrained(base, folder, adapter_name=name, is_trainable=trainable, use_safetensors=True)


def save_adapter(model: "PeftModel", folder: Path, base_name: str) -> None:
    """Write the two files of an adapter; `base_name` stands in its configuration instead of a path of this machine."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    tensors = {
        name: tensor.contiguous().cpu()
        for name, tensor in get_peft_model_state_dict(model, save_embedding_layers=False).items()
    }
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    config = model.peft_config["default"]
    path, config.base_model_name_or_path = config.base_model_name_or_path, base_name
    config.save_pretrained(folder)
    config.base_model_name_or_path = path


def trainable(model: "PeftModel") -> dict[str, "torch.nn.Parameter"]:
    """The parameters training moves, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def differs(model: "PeftModel", before: Mapping[str, "torch.Tensor"]) -> bool:
    """Whether any trainable parameter is no longer what it was."""
    return any(not parameter.detach().equal(before[name]) for name, parameter in trainable(model).items())


def autocast(model: Any) -> Any:
    """Half-precision arithmetic where the base is in bf16, or is itself trained: what moves stays fp32, cast by row."""
    import torch

    weights = next(model.parameters())
    return torch.autocast(
        weights.device.type, dtype=torch.bfloat16, enabled=weights.dtype == torch.bfloat16 or weights.requires_grad
    )


def token_losses(model: Any, batch: Batch) -> "torch.Tensor":
    """Nats of each target of a packed row, in fp32; the LM head is computed at label positions alone."""
    import torch

    with autocast(model):
        logits = model(
            input_ids=batch.input_ids,
            position_ids=batch.position_ids,
            # transformers builds no mask where one of four dimensions is given; the layout says who sees whom
            attention_mask=batch.input_ids.new_empty(1, 1, 0, 0),
            layout=batch.layout,
            logits_to_keep=batch.positions,
            use_cache=False,
        ).logits[0]
    pieces = zip(logits.split(_LOSS_ROWS), batch.targets.split(_LOSS_ROWS), strict=True)
    return torch.cat([torch.nn.functional.cross_entropy(rows.float(), aim, reduction="none") for rows, aim in pieces])
