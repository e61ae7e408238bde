"""Attention over a packed row, each conversation on its own.

Conversations of like length are laid side by side and multiplied as one batch: the work grows with the squares of their
lengths instead of the square of the row, and on a CPU batched products are several times quicker than its flash kernel.
On CUDA the variable-length flash kernel does the same. Registered with transformers under `PACKED`; a call that brings
no layout (generation) is answered by SDPA.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

PACKED = "packed_conversations"

# Conversations shorter than this share of the longest one of their block would be computed as padding.
_FILLED = 0.7


@dataclass(frozen=True)
class Block:
    """Conversations padded to one `length`; `source` is the token at each padded place, `padding` marks repeated ones,
    `place` is where each of their `tokens` lies."""

    length: int
    source: "torch.Tensor"
    padding: "torch.Tensor | None"
    tokens: "torch.Tensor"
    place: "torch.Tensor"


@dataclass(frozen=True)
class Layout:
    """Where the conversations of a row lie: `bounds` are their cumulative lengths, as the flash kernel wants them."""

    blocks: tuple[Block, ...]
    bounds: "torch.Tensor"
    longest: int


def lay_out(lengths: Sequence[int], device: "torch.device | str" = "cpu") -> Layout:
    """The layout of conversations of `lengths` tokens, one after another in a row."""
    import torch

    bounds = torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32)
    starts = bounds[:-1].tolist()
    blocks = [] if str(device).startswith("cuda") else [_block(some, lengths, starts) for some in _alike(lengths)]
    return Layout(tuple(blocks), bounds.to(device), max(lengths))


def register() -> None:
    """Make `PACKED` known to transformers; once is enough, twice does no harm."""
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(PACKED, packed_attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(PACKED, sdpa_mask)


def packed_attention(
    module: Any,
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    attention_mask: "torch.Tensor | None",
    scaling: float | None = None,
    layout: Layout | None = None,
    **others: Any,
) -> "tuple[torch.Tensor, None]":
    """What transformers calls an attention interface: [1, heads, tokens, size] in, [1, tokens, heads, size] out."""
    if layout is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        answer, _ = sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **others)
        return answer, None
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    # rotary embeddings of a base in fp32 leave query and key there, whatever autocast made of the rest
    q, k, v = (states[0].transpose(0, 1).to(value.dtype) for states in (query, key, value))
    answer = _flash(q, k, v, layout, scale) if query.is_cuda else _function().apply(q, k, v, layout, scale)
    return answer[None], None


def _flash(
    query: "torch.Tensor", key: "torch.Tensor", value: "torch.Tensor", layout: Layout, scale: float
) -> "torch.Tensor":
    from torch.nn.attention.varlen import varlen_attn

    return varlen_attn(
        query,
        key,
        value,
        layout.bounds,
        layout.bounds,
        layout.longest,
        layout.longest,
        scale=scale,
        window_size=(-1, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )


@cache
def _function() -> Any:
    import torch

    class PackedAttention(torch.autograd.Function):  # type: ignore[misc]
        """softmax(scale·QKᵀ)V a conversation; the gradients are written out, so that no padded copy is kept."""

        @staticmethod
        def forward(ctx: Any, query: Any, key: Any, value: Any, layout: Layout, scale: float) -> Any:
            ctx.layout, ctx.scale, ctx.heads = layout, scale, key.shape[1]
            answers, kept = torch.empty_like(query, memory_format=torch.contiguous_format), []
            with torch.autocast(query.device.type, enabled=False):
                for block in layout.blocks:
                    q, k, v = (_padded(states, block, ctx.heads) for states in (query, key, value))
                    chances = torch.baddbmm(
                        _future(block.length, q.shape[1] // block.length, q.dtype), q, k.mT, alpha=scale
                    ).softmax(-1)
                    answers[block.tokens] = _unpadded(torch.bmm(chances, v), block, query.shape[1])
                    kept += [q, k, v, chances]
            ctx.save_for_backward(*kept)
            return answers

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            heads, size = gradient.shape[1:]
            saved = ctx.saved_tensors  # asked for once: where they were computed again they are given only once
            of_query = torch.empty_like(gradient, memory_format=torch.contiguous_format)
            of_key, of_value = (gradient.new_empty(len(gradient), ctx.heads, size) for _ in range(2))
            for at, block in enumerate(ctx.layout.blocks):
                q, k, v, chances = saved[4 * at : 4 * at + 4]
                g = _padded(gradient, block, ctx.heads, nothing_at_padding=True)
                of_chances = torch.bmm(g, v.mT)
                of_scores = torch._softmax_backward_data(of_chances, chances, -1, chances.dtype).mul_(ctx.scale)
                of_query[block.tokens] = _unpadded(torch.bmm(of_scores, k), block, heads)
                of_key[block.tokens] = _unpadded(torch.bmm(of_scores.mT, q), block, ctx.heads)
                of_value[block.tokens] = _unpadded(torch.bmm(chances.mT, g), block, ctx.heads)
            return of_query, of_key, of_value, None, None

    return PackedAttention


def _padded(states: "torch.Tensor", block: Block, heads: int, nothing_at_padding: bool = False) -> "torch.Tensor":
    """[tokens, h, size] → [heads·conversations, h/heads·length, size]: query heads of one key head in one matrix."""
    chosen = states.index_select(0, block.source)
    if nothing_at_padding and block.padding is not None:
        chosen = chosen.masked_fill(block.padding[:, None, None], 0.0)
    many, size = len(block.source) // block.length, states.shape[2]
    group = states.shape[1] // heads
    ordered = chosen.view(many, block.length, heads, group, size).permute(2, 0, 3, 1, 4)
    return ordered.reshape(heads * many, group * block.length, size)


def _unpadded(states: "torch.Tensor", block: Block, all_heads: int) -> "torch.Tensor":
    """The way back of `_padded`, for the tokens of the block alone."""
    many, size = len(block.source) // block.length, states.shape[2]
    heads = len(states) // many
    ordered = states.view(heads, many, all_heads // heads, block.length, size).permute(1, 3, 0, 2, 4)
    return ordered.reshape(len(block.source), all_heads, size).index_select(0, block.place)


@lru_cache(64)
def _future(length: int, group: int, dtype: "torch.dtype") -> "torch.Tensor":
    """[1, group·length, length]: minus infinity where a token would see a later one."""
    import torch

    one = torch.full((length, length), float("-inf"), dtype=torch.float32).triu(1).to(dtype)
    return one.repeat(group, 1)[None]


def _alike(lengths: Sequence[int]) -> list[list[int]]:
    """Conversations in groups in which none is much shorter than the longest."""
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if groups and lengths[index] >= _FILLED * lengths[groups[-1][0]]:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def _block(chosen: Sequence[int], lengths: Sequence[int], starts: Sequence[int]) -> Block:
    import torch

    longest = max(lengths[index] for index in chosen)
    offsets = torch.arange(longest)
    ends = torch.tensor([lengths[index] for index in chosen])[:, None]
    begins = torch.tensor([starts[index] for index in chosen])[:, None]
    real = (offsets < ends).flatten()
    source = (begins + offsets.minimum(ends - 1)).flatten()
    padding = None if bool(real.all()) else ~real
    return Block(longest, source, padding, source[real], real.nonzero().flatten())
