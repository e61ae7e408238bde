"""LoRA layers that share their input computed together, with the gradients written out.

PEFT casts the input of each layer to fp32 and back, keeps both, and multiplies once for each thin matrix A. Here the A
matrices of layers with one input (query, key and value; gate and up) are one product, the frozen weight is no part of
the graph, and only the input and its product with A are kept. Loss and gradients are PEFT's, to rounding.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_SHARED_INPUT = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))


@contextmanager
def fused(model: Any) -> Iterator[None]:
    """Within it, plain LoRA layers of `model` (no dropout, no bias, one adapter) run fused; others run as they are."""
    layers = [layer for group in _groups(model) for layer in group.layers]
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


class _Group:
    """Layers that are given the same tensor one after another: the first call computes for all."""

    def __init__(self, layers: Sequence[Any]) -> None:
        self.layers = layers
        self._waiting = threading.local()  # rows are computed side by side in threads
        for at, layer in enumerate(layers):
            layer.forward = lambda x, *_, at=at, **__: self._answer(at, x)

    def _answer(self, at: int, x: "torch.Tensor") -> "torch.Tensor":
        asked, answers = getattr(self._waiting, "answers", (None, {}))
        if asked is not x or at not in answers:
            answers = dict(enumerate(_apply(x, self.layers)))
        answer = answers.pop(at)
        self._waiting.answers = (x, answers) if answers else (None, {})
        return answer


def _groups(model: Any) -> list[_Group]:
    groups = []
    for module in model.modules():
        children = dict(module.named_children())
        shared = [[children[name] for name in names if name in children] for names in _SHARED_INPUT]
        named = {name for names in _SHARED_INPUT for name in names}
        alone = [[child] for name, child in children.items() if name not in named]
        for layers in [*shared, *alone]:
            plain = [layer for layer in layers if _is_plain(layer)]
            if plain and len(plain) == len(layers):
                groups.append(_Group(plain))
    return groups


def _is_plain(layer: Any) -> bool:
    """Whether a layer is W·x + scale·B·A·x and nothing more."""
    import torch
    from peft.tuners.lora.layer import Linear

    if type(layer) is not Linear or len(layer.active_adapters) != 1 or layer.disable_adapters or layer.merged:
        return False
    name = layer.active_adapters[0]
    return (
        type(layer.base_layer) is torch.nn.Linear
        and layer.base_layer.bias is None
        and isinstance(layer.lora_dropout[name], torch.nn.Identity)
        and not layer.lora_bias.get(name)
        and name not in getattr(layer, "lora_variant", {})
    )


def _apply(x: "torch.Tensor", layers: Sequence[Any]) -> "tuple[torch.Tensor, ...]":
    name = layers[0].active_adapters[0]
    tensors = [
        tensor
        for layer in layers
        for tensor in (layer.base_layer.weight, layer.lora_A[name].weight, layer.lora_B[name].weight)
    ]
    answers: tuple[torch.Tensor, ...] = _function().apply(
        x, tuple(float(layer.scaling[name]) for layer in layers), *tensors
    )
    return answers


@cache
def _function() -> Any:
    import torch

    class FusedLora(torch.autograd.Function):  # type: ignore[misc]
        """yᵢ = Wᵢx + sᵢBᵢAᵢx for several i at once; x is [..., in], each yᵢ is [..., outᵢ]."""

        @staticmethod
        def forward(ctx: Any, x: Any, scales: tuple[float, ...], *tensors: Any) -> Any:
            weights, lefts, rights = tensors[0::3], tensors[1::3], tensors[2::3]
            rows = x.reshape(-1, x.shape[-1])
            with torch.autocast(x.device.type, enabled=False):
                down = torch.cat([left.to(rows.dtype) for left in lefts])
                ups = [(right * scale).to(rows.dtype) for right, scale in zip(rights, scales, strict=True)]
                thin = rows @ down.mT
                answers, at = [], 0
                for weight, up in zip(weights, ups, strict=True):
                    answer = (rows @ weight.mT).addmm_(thin[:, at : at + up.shape[1]], up.mT)
                    answers.append(answer.view(*x.shape[:-1], -1))
                    at += up.shape[1]
            ctx.scales = scales
            ctx.save_for_backward(rows, thin, down, *ups, *weights)
            return tuple(answers)

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            rows, thin, down, *others = ctx.saved_tensors
            ups, weights = others[: len(gradients)], others[len(gradients) :]
            flat = [gradient.reshape(-1, gradient.shape[-1]) for gradient in gradients]
            of_thin = torch.cat([gradient @ up for gradient, up in zip(flat, ups, strict=True)], dim=1)
            of_rows = None
            if ctx.needs_input_grad[0]:
                of_rows = of_thin @ down
                for gradient, weight in zip(flat, weights, strict=True):
                    of_rows.addmm_(gradient, weight)
                of_rows = of_rows.view(*gradients[0].shape[:-1], -1)
            of_down, of_tensors, at = (of_thin.mT @ rows).float(), [], 0
            for gradient, up, scale in zip(flat, ups, ctx.scales, strict=True):
                part = slice(at, at + up.shape[1])
                of_tensors += [None, of_down[part], (gradient.mT @ thin[:, part]).float() * scale]
                at = part.stop
            return of_rows, None, *of_tensors

    return FusedLora
