"""Conversations as a chat product has them, made up: Korean and English, short and long, with everything that screening
finds: duplicates, near-duplicates, personal data, broken replies. The same seed gives the same conversations.

Lengths are about those of LMSYS-Chat-1M (Zheng et al. 2023, table 1): a prompt of 70, a reply of 215 tokens.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from core.conversation import Conversation, Message

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
SEED = 3

NEAR, BROKEN, PERSONAL, LONG, SEVERAL_TURNS = 0.05, 0.02, 0.08, 0.01, 0.35

EN = (Path(__file__).parent / "words_en.txt").read_text(encoding="utf-8").split()
KO = (Path(__file__).parent / "words_ko.txt").read_text(encoding="utf-8").split()
ENDINGS = ("입니다.", "해 주세요.", "하시면 됩니다.", "인가요?", "했습니다.", "할 수 있어요.")


def conversations(number: int, seed: int = SEED, brief: bool = False) -> Iterator[Conversation]:
    """That many, each with an id of its own, some of them near an earlier one; brief ones are a sentence each."""
    chance = random.Random(seed)  # noqa: S311 - made-up data
    recent: list[tuple[str, str, bool]] = []
    for place in range(number):
        if recent and chance.random() < NEAR:
            question, reply, korean = chance.choice(recent)
            reply = _nearly(chance, reply)
        else:
            korean = chance.random() < 0.5
            question = _sentence(chance, korean, chance.randint(5, 12), "?") if brief else _question(chance, korean)
            reply = _sentence(chance, korean, chance.randint(6, 16), ".") if brief else _reply(chance, korean)
        if len(recent) < 2_000:
            recent.append((question, reply, korean))
        else:
            recent[chance.randrange(len(recent))] = (question, reply, korean)
        yield _conversation(chance, place, question, reply, korean, brief)


def _conversation(
    chance: random.Random, place: int, question: str, reply: str, korean: bool, brief: bool
) -> Conversation:
    if chance.random() < PERSONAL:
        question = f"{question} {_personal(chance, korean)}"
    if chance.random() < BROKEN:
        reply += chance.choice(["\n```python\nprint(1)", " <|im_end|>", "\ufffd"])
    messages = [Message(role="user", content=question)]
    if not brief and chance.random() < SEVERAL_TURNS:
        before = (_question(chance, korean), _reply(chance, korean))
        turns = zip(("user", "assistant"), before, strict=True)
        messages = [*(Message(role=role, content=text) for role, text in turns), *messages]  # type: ignore[arg-type]
    thread = place // 3
    return Conversation(
        id=f"b{place:07d}",
        messages=tuple(messages),
        reply=reply,
        user_id=f"u{thread * 2_654_435_761 % 2**32 % (1 + thread // 5)}",  # one of those so far, told by the thread
        session_id=f"s{place // 4}",
        thread_id=f"t{thread}",
        source=chance.choice(["chat", "import", "openai"]),
        provenance=chance.choice(["human", "teacher", "human", "self_edited"]),  # type: ignore[arg-type]
        created_at=BEGAN + timedelta(seconds=place),
    )


def _question(chance: random.Random, korean: bool) -> str:
    sentences = chance.choice([1, 1, 2, 3, 5])
    return " ".join(_sentence(chance, korean, chance.randint(5, 15), "?") for _ in range(sentences))


def _reply(chance: random.Random, korean: bool) -> str:
    sentences = chance.randint(60, 120) if chance.random() < LONG else int(chance.expovariate(1 / 9)) + 1
    return " ".join(_sentence(chance, korean, chance.randint(8, 22), ".") for _ in range(sentences))


def _sentence(chance: random.Random, korean: bool, words: int, end: str) -> str:
    # a Korean word carries its particles, and says what two English ones do
    text = " ".join(chance.choices(KO, k=1 + words // 2) if korean else chance.choices(EN, k=words))
    return text + chance.choice(ENDINGS) if korean else text.capitalize() + end


def _nearly(chance: random.Random, text: str) -> str:
    """One word more at the end: near what it was where that is long enough."""
    return f"{text} {chance.choice(['Thanks.', 'OK.', '네.', str(chance.randint(1, 9))])}"


def _personal(chance: random.Random, korean: bool) -> str:
    digits = "".join(chance.choices("0123456789", k=8))
    mail = f"user{digits}@example.com"
    phone = f"010-{digits[:4]}-{digits[4:]}"
    if korean:
        return chance.choice([f"메일은 {mail}입니다.", f"연락처는 {phone}이에요.", f"번호: {phone}"])
    return chance.choice(
        [f"My mail is {mail}.", f"Call me at +82 10 {digits[:4]} {digits[4:]}.", f"From 10.0.{digits[0]}.7"]
    )
