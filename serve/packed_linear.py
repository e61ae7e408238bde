"""A matrix in the form in which this CPU multiplies it fastest."""

from collections.abc import Callable
from typing import Any

Operator = Callable[[Any, Any], Any]  # (rows, bias or None) to rows


def packed(weight: Any) -> Operator:
    """The operator that vLLM makes of a layer's weight (outputs x inputs).

    Also for small ones: torch packs a bfloat16 matrix anew for each product, which is most of what a small one costs.
    """
    import torch
    from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm

    holder = torch.nn.Module()
    holder.weight = torch.nn.Parameter(weight.contiguous(), requires_grad=False)
    dispatch_cpu_unquantized_gemm(holder, remove_weight=True)
    return lambda x, bias: holder.cpu_linear(x, holder.weight, bias)
