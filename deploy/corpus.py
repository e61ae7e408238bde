"""The chatterbot corpus as rows for `POST /mlops/conversations`; a thread is a prompt and the replies given to it."""

import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

TOPICS = ("tech_support", "computers", "ai", "science", "money", "food", "psychology")

# Asked before and after training. None of them stands in the corpus word for word (a test holds that), so a better
# answer was learned, not looked up.
QUESTIONS = (
    "I can't log in, I lost my password.",
    "My laptop won't turn on.",
    "What programming language are you written in?",
    "What is zoology?",
    "Do you have money?",
)


@dataclass(frozen=True)
class Thread:
    """A prompt and one or more replies to it, as they stand in the corpus."""

    topic: str
    prompt: str
    replies: tuple[str, ...]


def load(topics: Sequence[str] = TOPICS, language: str = "english", folder: Path | None = None) -> list[Thread]:
    """All threads of these topics in file order, duplicates included."""
    home = (folder or corpus_folder()) / language
    return [thread for topic in topics for thread in _threads(topic, home / f"{topic}.yml")]


def corpus_folder() -> Path:
    """Where the installed package keeps its YAML."""
    spec = importlib.util.find_spec("chatterbot_corpus")
    if spec is None or spec.origin is None:
        raise SystemExit("The package chatterbot-corpus is not installed in this environment: run `make setup`.")
    return Path(spec.origin).parent / "data"


def rows(threads: Sequence[Thread], prefix: str = "corpus") -> Iterator[dict[str, Any]]:
    """One row for each reply; every distinct thread is a user of its own, who repeats herself in its duplicates."""
    users: dict[Thread, int] = {}
    for position, thread in enumerate(threads):
        user = users.setdefault(thread, len(users))
        thread_id = f"{prefix}-{position:05d}"
        for number, reply in enumerate(thread.replies):
            yield {
                "id": f"{thread_id}.{number}",
                "messages": [{"role": "user", "content": thread.prompt}],
                "reply": reply,
                "user_id": f"{prefix}-{thread.topic}-{user:04d}",
                "thread_id": thread_id,
                "provenance": "human",
            }


def distinct(threads: Iterable[Thread]) -> list[Thread]:
    """Each thread once, in order of first appearance."""
    return list(dict.fromkeys(threads))


def _threads(topic: str, path: Path) -> Iterator[Thread]:
    for lines in yaml.safe_load(path.read_text(encoding="utf-8"))["conversations"]:
        prompt, *replies = (str(line).strip() for line in lines)
        if replies:
            yield Thread(topic, prompt, tuple(replies))
