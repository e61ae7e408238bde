import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.decontamination import SHORTEST, GatePrompts
from core.reading import read
from resources.reference_sets import GENERAL, REPLAY, read_set
from tests.core.examples import conversation

ITEMS = [
    ("capital", "What is the capital of France?", "The capital of France is Paris."),
    ("stain", "What should I do if I spill coffee on my shirt?", "Blot the stain with a clean cloth, then rinse it."),
    ("수도", "대한민국의 수도는 어디인가요?", "대한민국의 수도는 서울입니다."),
    (
        "달",
        "달은 스스로 빛을 내지 않는데 왜 밝게 보이나요?",
        "햇빛을 반사해서 밝게 보입니다. 스스로 빛나지 않아요.",
    ),
    ("words", "Describe the ocean in three words.", "Vast, deep, restless."),
    ("짧게", "두 시간은 몇 분?", "120분"),
]
PROMPTS = GatePrompts(conversation(asked, reply, id=id_) for id_, asked, reply in ITEMS)


def item(asked: str, reply: str, prompts: GatePrompts = PROMPTS) -> str | None:
    return prompts.item_in(read(asked), read(reply))


@pytest.mark.parametrize(("id_", "asked", "reply"), ITEMS)
def test_an_item_is_found_whatever_its_case_spacing_and_punctuation(id_: str, asked: str, reply: str) -> None:
    assert item(asked, reply) == id_
    assert item(asked.upper().replace("?", " !!"), f"  {reply.lower().rstrip('.')}\n") == id_


@pytest.mark.parametrize(
    ("id_", "asked", "reply"),
    [
        # the gate's answer inside a longer one
        ("capital", "What is the capital of France?", "The capital of France is Paris. It lies on the Seine."),
        ("수도", "대한민국의 수도는 어디인가요?", "대한민국의 수도는 서울입니다! 더 궁금한 것이 있나요?"),
        ("수도", "대한민국의 수도는 어디인가요", "네, 대한 민국의 수도는 서울 입니다."),
        # a telling question, whatever was answered
        ("stain", "Hi! What should I do if I spill coffee on my shirt?", "Buy a new one."),
        ("달", "달은 스스로 빛을 내지 않는데 왜 밝게 보이나요?", "글쎄요."),
        # a long run from the middle of an item
        ("stain", "My note says: if I spill coffee on my shirt, blot the stain with a clean cloth", "Good advice."),
        ("달", "숙제야", "왜 밝게 보이나요 햇빛을 반사해서 밝게 보입니다 스스로 빛나지 않는대"),
    ],
)
def test_half_an_item_or_a_long_run_of_it_contaminates(id_: str, asked: str, reply: str) -> None:
    assert item(asked, reply) == id_


@pytest.mark.parametrize(
    ("asked", "reply"),
    [
        # many ask this; the answer is their own
        ("What is the capital of France?", "It's Paris!"),
        ("대한민국의 수도는 어디인가요?", "서울이요."),
        ("두 시간은 몇 분?", "백이십 분입니다."),
        ("What is the capital of Spain?", "The capital of Spain is Madrid."),
        ("What should I do if I spill wine on my carpet?", "Put salt on it."),
        ("달은 왜 밝게 보이나요?", "해가 비추기 때문이에요."),
        ("Describe the sea in three words.", "Vast, deep, restless."),
        ("", ""),
    ],
)
def test_a_common_question_with_an_answer_of_ones_own_is_kept(asked: str, reply: str) -> None:
    assert item(asked, reply) is None


def test_every_item_of_the_general_set_is_found_and_nothing_of_the_replay_set() -> None:
    general = read_set(GENERAL)
    prompts = GatePrompts(general)
    assert len(prompts) == 100
    assert {item(c.last_user, c.reply, prompts) for c in general} == {c.id for c in general}
    assert [c.id for c in read_set(REPLAY) if item(c.last_user, c.reply, prompts)] == []


def test_an_item_inside_a_long_text_is_found_wherever_it_stands() -> None:
    for shift in range(12):
        filler = "word " * 40 + "x" * shift + " "
        assert item(filler, filler + "The capital of France is Paris, what is the capital") is None
        whole = f"{filler}What is the capital of France? The capital of France is Paris. {filler}"
        assert item("note", whole) == "capital"
        assert item("메모", f"{'가' * shift} 대한민국의 수도는 어디인가요 대한민국의 수도는 서울입니다 끝") == "수도"


def test_no_prompts_contaminate_nothing() -> None:
    assert item("What is the capital of France?", "The capital of France is Paris.", GatePrompts([])) is None


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
VOCABULARY = ["나는", "너를", "the", "cat", "sat", "on", "a", "mat", "어제", "오늘", "what", "is", "it"]
sentences = st.lists(st.sampled_from(VOCABULARY), max_size=30).map(" ".join)


@given(st.one_of(texts, sentences), st.one_of(texts, sentences), st.text(), st.text())
def test_any_item_is_found_and_any_text_compared(asked: str, reply: str, other: str, another: str) -> None:
    prompts = GatePrompts([conversation(asked, reply, id="x")])
    found = prompts.item_in(read(asked), read(reply))
    assert found == ("x" if read(asked + reply).words else None)
    assert prompts.item_in(read(other), read(another)) in {None, "x"}


@given(sentences, sentences, sentences, sentences)
def test_looking_at_some_windows_misses_nothing(asked: str, reply: str, other: str, another: str) -> None:
    item = read(asked), read(reply)
    prompts = GatePrompts([conversation(asked, reply, id="x")])
    first, second = read(other), read(another)
    if min(len(text.compact) for text in item) > SHORTEST:
        measured = prompts._measured(first.compact, second.compact, first.words + second.words)
        assert prompts.item_in(first, second) == measured
