"""The first reading of an uploaded file: whether it is what it says, what format, how much, how long."""

from collections.abc import Mapping
from typing import Any

from resources.upload_reading import Sample, Source, TaskRefused, format_in, samples


def inspect(job: Mapping[str, Any]) -> dict[str, Any]:
    """Read all of a new file once. TaskRefused where nothing in it is a sample; FileRefused for what cannot be read."""
    source = Source.of(job)
    format = format_in(source)
    good = bad = conversations = asked = said = 0
    first_bad = ""
    for found in samples(source, format, keep_good=job["skip_invalid"]):
        if not isinstance(found, Sample):
            bad += 1
            first_bad = first_bad or f"line {found.line}: {found.message}"
            continue
        good += 1
        for conversation in found.conversations:
            conversations += 1
            asked += len(conversation.last_user)
            said += len(conversation.reply)
    if not good:
        raise TaskRefused("no_samples", f"expected a record of format {format}, found none; {first_bad}")
    return {
        "format": format,
        "stats": {
            "total_samples": good,
            "invalid_samples": bad,
            "conversations": conversations,
            "avg_instruction_length": round(asked / conversations, 2),
            "avg_output_length": round(said / conversations, 2),
        },
    }
