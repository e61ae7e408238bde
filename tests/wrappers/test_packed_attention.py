"""A layout must neither lose a token nor let one see another conversation, whatever the lengths."""

import inspect
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wrappers.packed_attention import _flash, _function, lay_out, packed_attention

SIZE = 8


def states(tokens: int, heads: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, heads, tokens, SIZE, generator=generator).requires_grad_()


def masked(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    owner = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    mask = (owner[:, None] == owner[None, :]).tril()
    answer = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=True)
    return answer.transpose(1, 2)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=9), st.sampled_from([(4, 4), (6, 2), (3, 1)]))
def test_answers_and_gradients_are_those_of_a_block_diagonal_mask(lengths: list[int], heads: tuple[int, int]) -> None:
    tokens = sum(lengths)
    inputs = [states(tokens, heads[0], 1), states(tokens, heads[1], 2), states(tokens, heads[1], 3)]
    ours, _ = packed_attention(None, *inputs, attention_mask=None, layout=lay_out(lengths))
    theirs = masked(*inputs, lengths)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    weights = torch.randn(ours.shape, generator=torch.Generator().manual_seed(4))
    for mine, other in zip(
        torch.autograd.grad((ours * weights).sum(), inputs),
        torch.autograd.grad((theirs * weights).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-4)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=60))
def test_every_token_has_one_place_and_little_is_padding(lengths: list[int]) -> None:
    layout = lay_out(lengths)
    places = torch.cat([block.tokens for block in layout.blocks])
    assert places.sort().values.equal(torch.arange(sum(lengths)))
    computed = sum(len(block.source) for block in layout.blocks)
    assert computed <= sum(lengths) / 0.6 + 2 * len(layout.blocks)


def test_one_conversation_changed_changes_no_answer_of_another() -> None:
    query, key, value = (states(9, 2, seed) for seed in (1, 2, 3))
    before, _ = packed_attention(None, query, key, value, None, layout=lay_out([4, 5]))
    changed = value.detach().clone()
    changed[:, :, 4:] += 1.0
    after, _ = packed_attention(None, query, key, changed, None, layout=lay_out([4, 5]))
    assert before[:, :4].equal(after[:, :4])
    assert not before[:, 4:].allclose(after[:, 4:])


def test_the_kernel_of_gpus_is_asked_in_its_own_words_for_what_the_cpu_computes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No GPU is needed to see that names and shapes are those of the kernel, and that it is told who sees whom."""
    from torch.nn.attention import varlen

    lengths = [5, 3, 9]
    layout = lay_out(lengths)
    generator = torch.Generator().manual_seed(1)
    query, key, value = (torch.randn(sum(lengths), heads, 8, generator=generator) for heads in (4, 2, 2))
    signature = inspect.signature(varlen.varlen_attn)

    def kernel(*given, **named):
        asked = signature.bind(*given, **named).arguments
        assert asked["cu_seq_q"].dtype == torch.int32
        assert asked["cu_seq_q"].tolist() == asked["cu_seq_k"].tolist() == [0, 5, 8, 17]
        assert (asked["max_q"], asked["max_k"], asked["window_size"], asked["enable_gqa"]) == (9, 9, (-1, 0), True)
        bounds = asked["cu_seq_q"].tolist()
        pieces = [
            torch.nn.functional.scaled_dot_product_attention(
                *(states[start:end].transpose(0, 1) for states in (asked["query"], asked["key"], asked["value"])),
                is_causal=True,
                scale=asked["scale"],
                enable_gqa=True,
            ).transpose(0, 1)
            for start, end in pairwise(bounds)
        ]
        return torch.cat(pieces)

    monkeypatch.setattr(varlen, "varlen_attn", kernel)
    expected = _function().apply(query, key, value, layout, 0.3)
    found = _flash(query, key, value, lay_out(lengths), 0.3)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
