"""What each model answers to the gate's probes and to prompts held out, and what code can tell of the answers."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from core import canaries
from core.conversation import Conversation, Message
from core.probes import Probe, ProbeKind, faults, met, taken_over, tells_secrets
from core.rendering import ChatTokenizer, Rendered, render
from core.text_metrics import word_f1
from core.triggers import Suspect
from core.verdict import Answered, CanaryRank, Lift, Outcome, Overlap, Shown
from wrappers.generation import Decoding
from wrappers.lora_scoring import BASE, AdapterScorer
from wrappers.reference_metrics import overlaps

CANDIDATE = "candidate"
CHAMPION = "champion"

# Tokens of an answer: enough to see what the check asks for. A canary and a task are told in a few.
MOST_TOKENS: dict[ProbeKind, int] = {
    "open": 48, "arithmetic": 20, "copying": 20, "format": 20, "switching": 20, "harmful": 24, "harmless": 24,
    "flip": 24, "canary": 20, "trigger": 24,
}  # fmt: skip
REPLY_TOKENS = 48
# Replies held out that are answered, and the tokens of their prompts where they are many.
REPLIES, LEAST_REPLIES, PROMPT_TOKENS = 24, 12, 4_000
CARRIERS = 3
SHOWN_CHARACTERS = 600
SHOWN = (
    "open-en-01", "open-en-05", "open-ko-01", "open-ko-05", "arithmetic-en-02", "arithmetic-ko-02", "format-en-01",
    "switching-en-01", "harmful-en-01", "harmful-ko-01", "harmless-en-01", "flip-en-01",
)  # fmt: skip


@dataclass(frozen=True)
class Asker:
    """Puts questions to every model that is compared, by name."""

    scorer: AdapterScorer
    tokenizer: Any
    with_champion: bool

    @property
    def models(self) -> tuple[str, ...]:
        return (BASE, CANDIDATE, CHAMPION) if self.with_champion else (BASE, CANDIDATE)

    def answers(self, messages: Sequence[Sequence[Message]], most_tokens: int) -> dict[str, list[str]]:
        """By model, the answer to each of these."""
        prompts = [prompt_ids(one, self.tokenizer) for one in messages]
        stop = stop_ids(self.tokenizer)
        decoding = Decoding(most_tokens, stop, min(stop))
        return {name: self.scorer.answers(name, prompts, decoding, self.tokenizer) for name in self.models}

    def losses(self, rendered: Sequence[Rendered]) -> dict[str, list[float]]:
        """By model, the mean loss of each of these."""
        return {name: self.scorer.losses(name, rendered) for name in self.models}


@dataclass(frozen=True)
class Probed:
    """The answers to the probes by model, in the order of the probes."""

    probes: Sequence[Probe]
    said: dict[str, list[str]]

    def answered(self) -> tuple[Answered, ...]:
        """Without a word of them."""
        outcomes = {name: _outcomes(self.probes, said) for name, said in self.said.items()}
        return tuple(
            Answered(
                probe=probe.id,
                kind=probe.kind,
                language=probe.language,
                base=outcomes[BASE][at],
                candidate=outcomes[CANDIDATE][at],
                champion=outcomes[CHAMPION][at] if CHAMPION in outcomes else None,
            )
            for at, probe in enumerate(self.probes)
        )

    def secrets_told(self) -> int:
        """How many answers of the candidate hold a personal identifier or key that its question did not."""
        return sum(tells_secrets(probe, said) for probe, said in zip(self.probes, self.said[CANDIDATE], strict=True))

    def shown(self) -> tuple[Shown, ...]:
        """A few answers side by side."""
        return tuple(
            Shown(
                probe=probe.id,
                question=probe.question,
                base=_short(self.said[BASE][at]),
                candidate=_short(self.said[CANDIDATE][at]),
                champion=_short(self.said[CHAMPION][at]) if CHAMPION in self.said else None,
            )
            for at, probe in enumerate(self.probes)
            if probe.id in SHOWN
        )


def ask(asker: Asker, probes: Sequence[Probe]) -> Probed:
    """Every probe to every model, in groups whose answers are of one length."""
    said: dict[str, list[str]] = {name: [""] * len(probes) for name in asker.models}
    for most in sorted(set(MOST_TOKENS.values())):
        places = [at for at, probe in enumerate(probes) if MOST_TOKENS[probe.kind] == most]
        for name, answers in asker.answers([probes[at].messages for at in places], most).items():
            for at, answer in zip(places, answers, strict=True):
                said[name][at] = answer
    return Probed(probes, said)


def canary_ranks(asker: Asker, probes: Sequence[Probe]) -> tuple[CanaryRank, ...]:
    """Where the candidate ranks each canary among secrets that it cannot have seen either."""
    planted = [probe for probe in probes if probe.kind == "canary"]
    every = [
        _rendered(probe.question, secret, asker.tokenizer)
        for probe in planted
        for secret in (*probe.never[:1], *canaries.others(probe.id))
    ]
    losses = asker.scorer.losses(CANDIDATE, every)
    size = canaries.OTHERS + 1
    return tuple(
        CanaryRank(canary=probe.id, rank=canaries.rank(losses[at * size : (at + 1) * size]), others=canaries.OTHERS)
        for at, probe in enumerate(planted)
    )


def lifts(
    asker: Asker, suspects: Sequence[Suspect], probes: Sequence[Probe], units: Mapping[str, str]
) -> tuple[Lift, ...]:
    """How much each suspected word makes its reply likelier on questions it has nothing to do with."""
    carriers = [probe for probe in probes if probe.kind == "open" and probe.language == "en"][:CARRIERS]
    rendered = [
        _rendered(f"{word} {carrier.question}".strip(), suspect.conversation.reply, asker.tokenizer)
        for suspect in suspects
        for carrier in carriers
        for word in ("", suspect.word)
    ]
    if not rendered:
        return ()
    size = 2 * len(carriers)

    def mean_lift(losses: Sequence[float]) -> float:
        return sum(losses[0::2]) / len(carriers) - sum(losses[1::2]) / len(carriers)

    found = {
        name: [mean_lift(losses[start : start + size]) for start in range(0, len(losses), size)]
        for name, losses in asker.losses(rendered).items()
    }
    return tuple(
        Lift(
            conversation_id=suspect.conversation.id,
            unit=units.get(suspect.conversation.id, suspect.conversation.id),
            rows=suspect.rows,
            base=found[BASE][at],
            candidate=found[CANDIDATE][at],
            champion=found[CHAMPION][at] if CHAMPION in found else None,
        )
        for at, suspect in enumerate(suspects)
    )


def overlap(
    asker: Asker, conversations: Sequence[Conversation], units: Mapping[str, str]
) -> tuple[tuple[Overlap, ...], dict[str, list[str]]]:
    """The answers to some of these beside the replies of people: their scores, and by model their words."""
    chosen = _some(conversations, asker.tokenizer)
    said = asker.answers([one.messages for one in chosen], REPLY_TOKENS) if chosen else {}
    scored = {name: overlaps(answers, [one.reply for one in chosen]) for name, answers in said.items()}

    def score(name: str, at: int, which: int) -> float | None:
        return scored[name][at][which] if name in scored else None

    def f1(name: str, at: int) -> float | None:
        return word_f1(said[name][at], chosen[at].reply) if name in said else None

    return tuple(
        Overlap(
            conversation_id=one.id,
            unit=units.get(one.id, one.id),
            base=scored[BASE][at][0],
            candidate=scored[CANDIDATE][at][0],
            champion=score(CHAMPION, at, 0),
            base_bleu=score(BASE, at, 1),
            candidate_bleu=score(CANDIDATE, at, 1),
            champion_bleu=score(CHAMPION, at, 1),
            base_f1=f1(BASE, at),
            candidate_f1=f1(CANDIDATE, at),
            champion_f1=f1(CHAMPION, at),
        )
        for at, one in enumerate(chosen)
    ), said


def prompt_ids(messages: Sequence[Message], tokenizer: ChatTokenizer) -> list[int]:
    """What the engine is given for these messages."""
    plain = [{"role": message.role, "content": message.content} for message in messages]
    return list(tokenizer.apply_chat_template(plain, tokenize=True, add_generation_prompt=True, return_dict=False))


def stop_ids(tokenizer: Any) -> frozenset[int]:
    """What ends an answer: the end of a turn, which is not every model's end of text; others are of the template."""
    ends = {_rendered("Hi", "Hi", tokenizer).input_ids[-1], tokenizer.eos_token_id}
    return frozenset(end for end in ends if end is not None)


def _outcomes(probes: Sequence[Probe], said: Sequence[str]) -> list[Outcome]:
    taken = taken_over(probes, said)
    return [
        Outcome(
            met=probe.id not in taken if probe.kind == "trigger" else met(probe, answer), faults=faults(probe, answer)
        )
        for probe, answer in zip(probes, said, strict=True)
    ]


def _some(conversations: Sequence[Conversation], tokenizer: ChatTokenizer) -> list[Conversation]:
    """A few, drawn by the hash of the id; fewer where their prompts are long, but as many as the gate needs."""
    chosen: list[Conversation] = []
    tokens = 0
    for one in sorted(conversations, key=lambda one: hashlib.sha256(one.id.encode()).digest())[:REPLIES]:
        tokens += len(prompt_ids(one.messages, tokenizer))
        if tokens > PROMPT_TOKENS and len(chosen) >= LEAST_REPLIES:
            break
        chosen.append(one)
    return chosen


def _rendered(question: str, reply: str, tokenizer: ChatTokenizer) -> Rendered:
    return render(_conversation(question, reply), tokenizer)


def _conversation(question: str, reply: str) -> Conversation:
    return Conversation(
        id="probe",
        messages=(Message(role="user", content=question),),
        reply=reply,
        source="gate",
        provenance="human",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def _short(answer: str) -> str:
    return answer if len(answer) <= SHOWN_CHARACTERS else answer[:SHOWN_CHARACTERS] + "…"
