"""What an uploaded file holds: a few masked examples, and how long its conversations are in tokens."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from core.conversation import Conversation
from core.review import is_renderable
from resources.chat_tokenizer import chat_tokenizer
from resources.token_counts import token_counts
from resources.upload_reading import Sample, Source, format_in, samples

EXAMPLES = 3
_SHOWN_CHARACTERS = 500


def statistics(job: Mapping[str, Any]) -> dict[str, Any]:
    """Masked examples of the first samples; with `count_tokens` the lengths of all in tokens of the base model."""
    source = Source.of(job)
    examples: list[dict[str, str]] = []
    tokenizer: Any = chat_tokenizer(Path(job["tokenizer"])) if job["count_tokens"] else None
    lengths: list[int] = []
    for found in samples(source, format_in(source)):
        if not isinstance(found, Sample):
            continue
        examples += [_example(source.masked(one)[0]) for one in found.conversations[: EXAMPLES - len(examples)]]
        if tokenizer:
            counts = token_counts([one for one in found.conversations if is_renderable(one)], tokenizer)
            lengths += [count for count in counts if count is not None]
        if not tokenizer and len(examples) == EXAMPLES:
            break
    return {"sample_examples": examples, "token_distribution": _distribution(lengths) if tokenizer else None}


def _example(masked: Conversation) -> dict[str, str]:
    return {"instruction": masked.last_user[:_SHOWN_CHARACTERS], "output": masked.reply[:_SHOWN_CHARACTERS]}


def _distribution(lengths: list[int]) -> dict[str, Any]:
    if not lengths:
        return {"total": 0}
    quarters = np.percentile(lengths, [0, 25, 50, 75, 95, 99, 100])
    names = ("min", "p25", "median", "p75", "p95", "p99", "max")
    return {
        **{name: round(float(value), 1) for name, value in zip(names, quarters, strict=True)},
        "mean": round(float(np.mean(lengths)), 2),
        "total": int(np.sum(lengths)),
    }
