"""How good a conversation is, in [0, 1]; the parts are stored beside it and versioned with the rules.

    quality = (0.4 feedback + 0.3 heuristics + 0.2 judge + 0.1 length) / (sum of the weights of the parts present)

- feedback: the mean of what was said of (rating - 1) / 4, 1 for a thumb up, 0 for one down, 1 for a reply that a
  person corrected.
- heuristics: 1 without findings; each warning about the reply takes its share off, an error leaves 0.
- judge: the grade of a stronger model, where there is one.
- length: where the reply lies among replies, by the log-normal distribution with a median of 200 bytes of UTF-8 and a
  sigma of 1.2 (a Hangul syllable is three bytes and says about as much as three Latin letters). Fixed, not taken
  from the data, so that a score never changes because others were collected.

The weights are those of a blend of user feedback and an instruction-quality filter; without feedback and judge
what remains is 0.75 heuristics + 0.25 length.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import erf, log, sqrt
from types import MappingProxyType

from core.conversation import Conversation
from core.rules import Finding

WEIGHTS: Mapping[str, float] = MappingProxyType({"feedback": 0.4, "heuristics": 0.3, "judge": 0.2, "length": 0.1})
# what a warning about the reply leaves of the heuristics, where not 0.9
KEEPS: Mapping[str, float] = MappingProxyType({"refusal": 0.5, "toxic_words": 0.7})
MEDIAN_BYTES = 200
SIGMA = 1.2


@dataclass(frozen=True, slots=True)
class Hints:
    """What people and other models said of a conversation; `released` by a person after review."""

    rating: int | None = None
    thumb: int | None = None
    judge: float | None = None
    released: bool = False


NO_HINTS = Hints()


def quality_of(
    conversation: Conversation, findings: Iterable[Finding], hints: Hints = NO_HINTS
) -> tuple[float, dict[str, float]]:
    """The score and its parts, each in [0, 1], to four decimals."""
    parts = {"heuristics": _heuristics(findings), "length": length_percentile(conversation.reply)}
    feedback = _feedback(conversation, hints)
    if feedback is not None:
        parts["feedback"] = feedback
    if hints.judge is not None:
        parts["judge"] = min(1.0, max(0.0, hints.judge))
    weight = sum(WEIGHTS[name] for name in parts)
    score = sum(WEIGHTS[name] * value for name, value in parts.items()) / weight
    return round(score, 4), {name: round(value, 4) for name, value in parts.items()}


def length_percentile(reply: str) -> float:
    """The share of replies that are shorter, by a fixed distribution."""
    size = len(reply.strip().encode("utf-8", "replace"))
    return 0.5 * (1 + erf(log(size / MEDIAN_BYTES) / (SIGMA * sqrt(2)))) if size else 0.0


def _heuristics(findings: Iterable[Finding]) -> float:
    value = 1.0
    for finding in findings:
        if finding.severity == "error":
            return 0.0
        if finding.where == "reply":
            value *= KEEPS.get(finding.rule, 0.9)
    return value


def _feedback(conversation: Conversation, hints: Hints) -> float | None:
    said = [] if hints.rating is None else [min(1.0, max(0.0, (hints.rating - 1) / 4))]
    if hints.thumb is not None:
        said.append(1.0 if hints.thumb > 0 else 0.0)
    if conversation.provenance == "self_edited":
        said.append(1.0)
    return sum(said) / len(said) if said else None
