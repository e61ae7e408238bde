from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.conversation import Conversation, Message
from core.rendering import token_count
from resources.chat_tokenizer import ChatTokenizer, chat_tokenizer
from resources.token_counts import token_counts
from tests.core.examples import conversation, talk
from tests.fakes import FakeTokenizer
from tests.tiny_tokenizer import CHATML, tokenizer_folder

MODEL = Path(__file__).parents[2] / "var" / "models" / "SmolLM2-135M-Instruct"
PIECES = st.lists(
    st.sampled_from(
        ["Hi", " ", "\n", "\n\n", "\t", "안녕", "하세요.", "🙂", "<|im_end|>", "<|im_start|>", "é", "1", "  x"]
    ),
    min_size=1,
    max_size=8,
).map("".join)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    return ChatTokenizer(tokenizer_folder(tmp_path_factory.mktemp("tiny"), CHATML))


@pytest.mark.skipif(not (MODEL / "tokenizer.json").is_file(), reason="needs the bundled model: run make setup")
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(PIECES, PIECES, PIECES), min_size=1, max_size=4))
def test_many_at_once_are_counted_like_each_alone(texts: list[tuple[str, str, str]]) -> None:
    tokenizer = chat_tokenizer(MODEL)
    talks = [conversation(reply=reply, messages=talk(first, "well", last)) for first, last, reply in texts]
    assert token_counts(talks, tokenizer) == [token_count(one, tokenizer) for one in talks]


@pytest.mark.parametrize("reply", ["yes", "\n\nyes", " yes", "<|im_end|> yes", "네, 맞습니다"])
def test_a_reply_that_merges_with_the_prompt_is_counted_as_it_is_trained(tiny: ChatTokenizer, reply: str) -> None:
    one = conversation(reply=reply)
    assert token_counts([one], tiny) == [token_count(one, tiny)]


def test_a_tokenizer_of_another_kind_gives_the_same_counts() -> None:
    talks = [conversation(reply="a b c"), conversation(messages=talk("q", "a", "q2", system="be kind"))]
    assert token_counts(talks, FakeTokenizer()) == [token_count(one, FakeTokenizer()) for one in talks]


def test_what_the_template_refuses_has_no_count(tmp_path: Path) -> None:
    strict = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + CHATML
    tokenizer = ChatTokenizer(tokenizer_folder(tmp_path, strict))
    with_system: Conversation = conversation(messages=(Message(role="system", content="s"), *talk("q")))
    counted = token_counts([conversation(), with_system, conversation()], tokenizer)
    assert counted[1] is None
    assert counted[0] == counted[2] == token_count(conversation(), tokenizer)
