"""The corpus the demo imports: its counts, its users and its questions."""

from collections import Counter
from pathlib import Path

import pytest

from deploy.corpus import QUESTIONS, TOPICS, Thread, distinct, load, rows


@pytest.fixture(scope="module")
def threads() -> list[Thread]:
    return load()


def _words(text: str) -> str:
    return " ".join("".join(c if c.isalnum() else " " for c in text.casefold()).split())


def test_the_seven_topics_hold_1304_threads_of_which_263_are_distinct(threads: list[Thread]) -> None:
    assert (len(threads), len(distinct(threads))) == (1304, 263)
    assert {thread.topic for thread in threads} == set(TOPICS)


def test_each_distinct_thread_is_one_user_and_its_duplicates_are_the_same_user(threads: list[Thread]) -> None:
    users: dict[str, set[tuple[str, str]]] = {}
    for row in rows(threads):
        users.setdefault(row["user_id"], set()).add((row["messages"][0]["content"], row["thread_id"].split("-")[0]))
    assert len(users) == 263
    assert all(len(prompts) == 1 for prompts in users.values())


def test_a_thread_of_k_replies_is_k_conversations_with_ids_of_their_own(threads: list[Thread]) -> None:
    imported = list(rows(threads))
    assert len(imported) == sum(len(thread.replies) for thread in threads)
    assert len({row["id"] for row in imported}) == len(imported)
    longest = max(threads, key=lambda thread: len(thread.replies))
    per_thread = Counter(row["thread_id"] for row in imported)
    assert per_thread.most_common(1)[0][1] == len(longest.replies) > 1


def test_no_row_trains_on_a_reply_as_if_the_user_had_said_it(threads: list[Thread]) -> None:
    assert all([m["role"] for m in row["messages"]] == ["user"] and row["reply"] for row in rows(threads))


def test_every_row_is_human(threads: list[Thread]) -> None:
    assert {row["provenance"] for row in rows(threads)} == {"human"}


def test_no_question_of_the_demo_stands_in_the_corpus(threads: list[Thread]) -> None:
    prompts = {_words(thread.prompt) for thread in threads}
    assert len(set(QUESTIONS)) == 5
    assert not [question for question in QUESTIONS if _words(question) in prompts]


def test_a_thread_without_a_reply_is_left_out_and_numbers_become_text(tmp_path: Path) -> None:
    (tmp_path / "english").mkdir()
    corpus = "conversations:\n- - Alone\n- - 1\n  - 2\n"
    (tmp_path / "english" / "food.yml").write_text(corpus, encoding="utf-8")
    assert load(["food"], folder=tmp_path) == [Thread("food", "1", ("2",))]
