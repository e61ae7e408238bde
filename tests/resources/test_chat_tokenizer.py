from collections.abc import Iterator
from pathlib import Path

import pytest

from core.rendering import render, token_count
from resources.chat_tokenizer import ChatTokenizer, chat_tokenizer
from tests.tiny_tokenizer import CHATML, tokenizer_folder
from tests.workshop import conversation

WITH_GENERATION = CHATML.replace("{{ '<|im_start|>'", "{% generation %}{{ '<|im_start|>'").replace(
    "{% endfor %}", "{% endgeneration %}{% endfor %}"
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tokenizer_folder(tmp_path, CHATML)
    chat_tokenizer.cache_clear()


def test_a_conversation_is_counted_to_its_end_of_turn(folder: Path) -> None:
    tokenizer = ChatTokenizer(folder)
    prompt = "user\nquestion 1\n" + "assistant\n"
    specials = 4
    assert token_count(conversation(1), tokenizer) == len(prompt) + len("answer 1") + specials


def test_only_named_tokens_are_special(folder: Path) -> None:
    assert len(ChatTokenizer(folder).all_special_ids) == 2


def test_extra_special_tokens_count_too(tmp_path: Path) -> None:
    folder = tokenizer_folder(tmp_path, CHATML, additional_special_tokens=[{"content": "<|other|>"}])
    assert len(ChatTokenizer(folder).all_special_ids) == 3


def test_a_template_in_the_configuration_is_found(tmp_path: Path) -> None:
    folder = tokenizer_folder(tmp_path, None, chat_template=CHATML)
    assert token_count(conversation(1), ChatTokenizer(folder)) > 0


def test_marks_of_what_the_assistant_wrote_change_nothing(tmp_path: Path, folder: Path) -> None:
    plain = token_count(conversation(1), ChatTokenizer(folder))
    (folder / "chat_template.jinja").write_text(WITH_GENERATION, encoding="utf-8")
    assert token_count(conversation(1), ChatTokenizer(folder)) == plain


def test_a_base_without_a_chat_template_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="use the instruct variant"):
        ChatTokenizer(tokenizer_folder(tmp_path, None))


@pytest.mark.slow
def test_the_ids_are_those_of_transformers(folder: Path) -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(folder)
    for text in ("plain", "안녕하세요 🙂", " leading and trailing ", "<b>tags & entities</b>", "line\n\nbreaks"):
        talk = conversation(1, reply=text)
        assert render(talk, ChatTokenizer(folder), 10_000) == render(talk, theirs, 10_000)
