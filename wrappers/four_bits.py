"""A base held in 4 bits for QLoRA (Dettmers et al. 2023): NF4 with double quantisation, computed in bf16.

It is trained on, never served: adapters are put on the whole base, as they are in the engine.
"""

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_PACKAGE = "bitsandbytes"


def loading_options(device: str) -> dict[str, Any]:
    """What `from_pretrained` needs to quantise the linear layers while it loads; embeddings and LM head stay."""
    import torch
    from transformers import BitsAndBytesConfig

    _let_peft_see_it()
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {"quantization_config": config, "device_map": {"": device}}


def stay_trainable(model: "PreTrainedModel") -> None:
    """On some CPUs a forward pass without gradients would reorder the weights for good, and no gradient go through."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def hide_from_peft() -> None:
    """PEFT imports the package where it finds it, when it is imported itself and again for the layers it wraps: seconds
    for what nobody asked for. It is let find it as soon as somebody does."""
    if _PACKAGE in sys.modules:
        return
    sys.modules[_PACKAGE] = None  # type: ignore[assignment]  # Python's own way to say: there is none
    try:
        from peft import import_utils

        import_utils.is_bnb_available()  # remembers what it found
        import_utils.is_bnb_4bit_available()
    finally:
        del sys.modules[_PACKAGE]


def _let_peft_see_it() -> None:
    from peft import import_utils

    import_utils.is_bnb_available.cache_clear()
    import_utils.is_bnb_4bit_available.cache_clear()
