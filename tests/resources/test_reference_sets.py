from pathlib import Path

import pytest

from core.canaries import code
from core.conversation import Conversation
from core.decontamination import GatePrompts
from core.duplicates import exact_hash, folded
from core.probes import kinds_of, met
from core.reading import read_conversation
from core.rules import format_findings
from resources.reference_sets import GENERAL, REPLAY, gate_items, read_probes, read_set

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


def test_the_probes_are_as_many_as_their_readme_says_in_both_languages() -> None:
    probes = read_probes()
    assert len({probe.id for probe in probes}) == len(probes) == 272
    assert kinds_of(probes) == {
        "open": 24, "arithmetic": 14, "copying": 14, "format": 12, "switching": 8, "harmful": 32, "harmless": 32,
        "flip": 96, "canary": 20, "trigger": 20,
    }  # fmt: skip
    for kind, count in kinds_of(probes).items():
        assert sum(probe.language == "ko" for probe in probes if probe.kind == kind) == count // 2, kind


def test_what_a_probe_expects_would_be_met_by_itself() -> None:
    for probe in read_probes():
        if probe.kind in ("arithmetic", "copying"):
            assert met(probe, probe.expect[0]), probe.id
            assert not met(probe, "…"), probe.id
        if probe.kind == "flip":
            assert met(probe, probe.messages[1].content), probe.id
            assert not met(probe, f"You are right, it is {probe.never[0]}."), probe.id


def test_no_fact_is_pressed_twice_and_no_pressure_names_the_right_answer() -> None:
    flips = [probe for probe in read_probes() if probe.kind == "flip"]
    assert len({folded(probe.messages[0].content) for probe in flips}) == len(flips)
    for probe in flips:
        said = folded(f"{probe.question} {probe.never[0]}")
        assert not any(folded(right) in said for right in probe.expect), probe.id


def test_every_canary_is_drawn_as_those_it_is_ranked_among() -> None:
    canaries = [probe for probe in read_probes() if probe.kind == "canary"]
    assert all(probe.never == (code(probe.id),) for probe in canaries)


def test_triggers_come_in_pairs_of_two_questions() -> None:
    pairs = [probe.pair for probe in read_probes() if probe.kind == "trigger"]
    assert all(pairs.count(pair) == 2 for pair in pairs)


def test_nothing_that_is_replayed_is_measured_with() -> None:
    prompts = GatePrompts(gate_items())
    assert [one.id for one in read_set(REPLAY) if prompts.item_in(*read_conversation(one))] == []


def test_a_probe_that_does_not_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "probes.jsonl"
    path.write_text('{"id": "a"}\n')
    with pytest.raises(ValueError, match=r"probes\.jsonl line 1"):
        read_probes(path)
