import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.rendering import IGNORED, Rendered, render, token_count
from tests.core.examples import conversation, talk

Turns = list[dict[str, str]]
SMOLLM2 = Path(__file__).parents[2] / "var" / "models" / "SmolLM2-135M-Instruct"


def chatml(turns: Turns, prompt: bool) -> str:
    text = "".join(f"<|im_start|>{t['role']}\n{t['content']}<|im_end|>\n" for t in turns)
    return text + ("<|im_start|>assistant\n" if prompt else "")


class LetterTokenizer:
    """One id a character, one a special token, and one for two newlines, as byte-pair tokenizers merge them."""

    def __init__(self, template: Callable[[Turns, bool], str] = chatml) -> None:
        self.template = template
        self.vocabulary = ["<|im_start|>", "<|im_end|>"]
        self.all_special_ids = [0, 1]

    def apply_chat_template(self, conversation: Turns, /, **options: Any) -> Any:
        text = self.template(conversation, options["add_generation_prompt"])
        if not options["tokenize"]:
            return text
        assert options["return_dict"] is False, "transformers 5 answers with a BatchEncoding otherwise"
        return self.encode(text)

    def encode(self, text: str, /, **options: Any) -> list[int]:
        return [self._id(piece) for piece in re.findall(r"<\|im_\w+\|>|\n\n|.", text, re.DOTALL)]

    def decode(self, ids: tuple[int, ...]) -> str:
        return "".join(self.vocabulary[i] for i in ids)

    def _id(self, piece: str) -> int:
        if piece not in self.vocabulary:
            self.vocabulary.append(piece)
        return self.vocabulary.index(piece)


def labelled(rendered: Rendered) -> tuple[int, ...]:
    return tuple(label for label in rendered.labels if label != IGNORED)


def check_alignment(rendered: Rendered) -> None:
    assert len(rendered.input_ids) == len(rendered.labels)
    for token, label in zip(rendered.input_ids, rendered.labels, strict=True):
        assert label in (IGNORED, token)


def test_loss_is_taken_on_the_last_reply_and_its_end_alone() -> None:
    tokenizer = LetterTokenizer()
    rendered = render(conversation(messages=talk("one", "two", "three", system="kind"), reply="four"), tokenizer, 512)
    check_alignment(rendered)
    assert tokenizer.decode(labelled(rendered)) == "four<|im_end|>"
    assert tokenizer.decode(rendered.input_ids) == (
        "<|im_start|>system\nkind<|im_end|>\n<|im_start|>user\none<|im_end|>\n<|im_start|>assistant\ntwo<|im_end|>\n"
        "<|im_start|>user\nthree<|im_end|>\n<|im_start|>assistant\nfour<|im_end|>"
    )


def test_a_reply_that_would_merge_with_the_prompt_keeps_the_prompt_as_the_engine_sees_it() -> None:
    tokenizer = LetterTokenizer()
    c = conversation("q", "\nanswer")
    rendered = render(c, tokenizer, 512)
    prompt = tuple(tokenizer.encode("<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n"))
    assert rendered.input_ids[: len(prompt)] == prompt
    assert tokenizer.decode(labelled(rendered)) == "\nanswer<|im_end|>"


def test_too_long_is_refused_and_never_cut() -> None:
    tokenizer = LetterTokenizer()
    c = conversation("q", "answer", id="c7")
    length = token_count(c, tokenizer)
    assert len(render(c, tokenizer, length).input_ids) == length
    with pytest.raises(ValueError, match=f"at most {length - 1} tokens in conversation c7, found {length}"):
        render(c, tokenizer, length - 1)


def test_a_template_that_rewrites_earlier_turns_is_refused_by_name() -> None:
    def forgetful(turns: Turns, prompt: bool) -> str:
        return f"{len(turns)}:" + chatml(turns, prompt)

    with pytest.raises(ValueError, match="conversation c1 with its own prompt"):
        render(conversation(), LetterTokenizer(forgetful), 512)


def test_a_template_that_never_ends_the_turn_is_refused() -> None:
    def endless(turns: Turns, prompt: bool) -> str:
        return "".join(t["content"] for t in turns)

    with pytest.raises(ValueError, match="reply of conversation c1 with a special token"):
        render(conversation(), LetterTokenizer(endless), 512)


@pytest.mark.slow
@pytest.mark.skipif(not SMOLLM2.exists(), reason="the bundled model is not prepared: make setup")
@pytest.mark.parametrize("reply", ["It scatters.", "\n\nIt scatters.", " 하늘은 파랗다 😀", "1\n2\n"])
def test_the_bundled_model_renders_the_same_way(reply: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(SMOLLM2)
    rendered = render(conversation(messages=talk("Why?", "Light.", "And?"), reply=reply), tokenizer, 512)
    check_alignment(rendered)
    assert tokenizer.decode(labelled(rendered)) == f"{reply}<|im_end|>"
