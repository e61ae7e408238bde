from pathlib import Path

import pytest

from core.conversation import Conversation
from core.duplicates import exact_hash, folded
from core.rules import format_findings
from resources.reference_sets import GENERAL, REPLAY, read_set

WORDS = 8


def grams(conversation: Conversation) -> set[tuple[str, ...]]:
    """Every eight words in a row, question and reply apart."""
    parts = [folded(text).split() for text in (conversation.last_user, conversation.reply)]
    return {tuple(words[at : at + WORDS]) for words in parts for at in range(len(words) - WORDS + 1)}


@pytest.mark.parametrize(("path", "english", "korean"), [(GENERAL, 65, 35), (REPLAY, 75, 45)])
def test_the_sets_hold_what_their_readme_says(path: Path, english: int, korean: int) -> None:
    ids = [conversation.id for conversation in read_set(path)]
    assert len(ids) == len(set(ids))
    assert (sum("-en-" in name for name in ids), sum("-ko-" in name for name in ids)) == (english, korean)


@pytest.mark.parametrize("path", [GENERAL, REPLAY])
def test_every_conversation_is_well_formed_and_distinct(path: Path) -> None:
    conversations = read_set(path)
    assert len({exact_hash(conversation) for conversation in conversations}) == len(conversations)
    for conversation in conversations:
        assert not format_findings(conversation.messages, conversation.reply), conversation.id


def test_no_replayed_conversation_nor_question_nor_reply_stands_in_the_general_set() -> None:
    general, replay = read_set(GENERAL), read_set(REPLAY)
    assert not {exact_hash(c) for c in general} & {exact_hash(c) for c in replay}
    assert not {folded(c.last_user) for c in general} & {folded(c.last_user) for c in replay}
    assert not {folded(c.reply) for c in general} & {folded(c.reply) for c in replay}


def test_no_eight_words_in_a_row_stand_in_both_sets() -> None:
    general = set().union(*map(grams, read_set(GENERAL)))
    replay = set().union(*map(grams, read_set(REPLAY)))
    assert len(general) > 300, "the comparison must have something to compare"
    assert not general & replay


def test_a_line_that_does_not_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text('{"id": "a", "messages": [{"role": "user", "content": "hi"}], "reply": "yes"}\n{"id": "b"}\n')
    with pytest.raises(ValueError, match=r"set\.jsonl line 2"):
        read_set(path)
