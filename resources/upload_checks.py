"""Every check of an uploaded file in one pass: form, rules, personal data, duplicates, and tokens where asked for."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.conversation import Conversation
from core.duplicates import exact_hash, text_of
from core.examination import examine
from core.reason_codes import sentence
from core.rules import RULES_VERSION, Finding, token_limit
from resources.bands import MemoryBands
from resources.chat_tokenizer import chat_tokenizer
from resources.line_findings import MOST_FINDINGS, LineFinding
from resources.near_duplicates import NearDuplicates
from resources.text_file import TextFile
from resources.token_counts import BatchTokenizer, token_counts
from resources.upload_reading import Sample, Source, characters_of, format_in, in_batches, samples

CHECKS = ("rules", "personal_data", "duplicates", "tokens")
MOST_COMPARED = 500_000  # conversations; the bands of more would not fit in the memory that a check may take
_BATCH = 1_000
_PERSONAL = frozenset({"personal_data", "personal_data_masked"})


@dataclass
class _Tally:
    """What was found so far; of the findings only as many as are kept."""

    findings: list[LineFinding] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    pii: Counter[str] = field(default_factory=Counter)
    duplicates: Counter[str] = field(default_factory=Counter)
    total: int = 0
    valid: int = 0
    quality: float = 0.0

    def note(self, finding: LineFinding) -> None:
        self.reasons[finding.rule] += 1
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(finding)


def validate(job: Mapping[str, Any]) -> dict[str, Any]:
    """What a quality log keeps. The score is the mean quality of all samples; an invalid one counts 0."""
    source, wanted = Source.of(job), frozenset(job["checks"])
    tokenizer: Any = chat_tokenizer(Path(job["tokenizer"])) if "tokens" in wanted else None
    tally = _Tally()
    with TextFile() as texts:
        checks = _Checks(source, wanted, tokenizer, job["max_tokens"], texts, tally)
        for batch in in_batches(samples(source, format_in(source)), _BATCH, characters_of):
            checks.take(batch)
    return {
        "is_valid": 0 < tally.total == tally.valid,
        "quality_score": round(tally.quality / tally.total, 4) if tally.total else None,
        "total": tally.total,
        "valid": tally.valid,
        "pii": dict(tally.pii),
        "duplicates": {"exact": tally.duplicates["exact"], "near": tally.duplicates["near"]},
        "reasons": dict(tally.reasons.most_common()),
        "checks": [check for check in CHECKS if check in wanted],
        "rules_version": RULES_VERSION,
        "findings": [
            tuple(vars(one).values())
            for one in sorted(tally.findings, key=lambda one: (one.line or 0, one.column or 0))
        ],
    }


class _Checks:
    def __init__(
        self,
        source: Source,
        wanted: frozenset[str],
        tokenizer: BatchTokenizer | None,
        max_tokens: int,
        texts: TextFile,
        tally: _Tally,
    ) -> None:
        self._source, self._wanted = source, wanted
        self._tokenizer, self._max_tokens = tokenizer, max_tokens
        self._texts, self._tally = texts, tally
        self._near = NearDuplicates(MemoryBands(), texts.get)
        self._place_of_hash: dict[bytes, tuple[int, int]] = {}
        self._places: list[tuple[int, int]] = [(0, 0)]

    def take(self, batch: Sequence[Sample | LineFinding]) -> None:
        new: list[tuple[int, str]] = []
        for found in batch:
            self._tally.total += 1
            if isinstance(found, LineFinding):
                self._tally.note(found)
                continue
            qualities = [self._one(found, conversation, new) for conversation in found.conversations]
            if None not in qualities:
                self._tally.valid += 1
                self._tally.quality += sum(filter(None, qualities)) / len(qualities)
        for seq, placed in self._near.place(new).items():
            if placed.near:
                self._tally.duplicates["near"] += 1
                message = f"Says nearly the same as {_words(self._places[placed.near[0]])}"
                line, column = self._places[seq]
                self._tally.note(LineFinding(line, column or None, "near_duplicate", "warning", message))

    def _one(self, sample: Sample, conversation: Conversation, new: list[tuple[int, str]]) -> float | None:
        """Its quality, or None where something is wrong that keeps it out."""
        masked, personal = self._source.masked(conversation)
        if "personal_data" in self._wanted:
            self._tally.pii.update(personal)
        examined = examine(masked, personal=personal)
        findings = [one for one in examined.findings if self._is_wanted(one)]
        if self._tokenizer and not any(finding.severity == "error" for finding in findings):
            findings += self._tokens(masked, self._tokenizer)
        if "duplicates" in self._wanted:
            findings += self._duplicate((sample.line, sample.column), masked, new)
        for finding in findings:
            message = f"{finding.where}: {finding.message}"
            self._tally.note(sample.finding(finding.rule, finding.severity, message))
        return None if any(finding.severity == "error" for finding in findings) else examined.quality

    def _is_wanted(self, finding: Finding) -> bool:
        return ("personal_data" if finding.rule in _PERSONAL else "rules") in self._wanted

    def _tokens(self, conversation: Conversation, tokenizer: BatchTokenizer) -> list[Finding]:
        (count,) = token_counts([conversation], tokenizer)
        if count is not None:
            return token_limit(count, self._max_tokens)
        message = sentence("template_refuses")
        return [Finding(rule="template_refuses", severity="error", where="messages", message=message)]

    def _duplicate(
        self, place: tuple[int, int], conversation: Conversation, new: list[tuple[int, str]]
    ) -> list[Finding]:
        first = self._place_of_hash.setdefault(bytes.fromhex(exact_hash(conversation))[:16], place)
        if first != place:
            self._tally.duplicates["exact"] += 1
            message = f"Expected a new pair of question and reply, found that of {_words(first)}"
            return [Finding(rule="duplicate", severity="error", where="conversation", message=message)]
        if len(self._places) <= MOST_COMPARED:
            text = text_of(conversation)
            self._places.append(place)
            new.append((self._texts.add(text), text))
        return []


def _words(place: tuple[int, int]) -> str:
    line, column = place
    return f"line {line}, column {column}" if column else f"line {line}"
