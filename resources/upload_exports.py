"""An uploaded file in another format, masked, with the training config that reads it."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.axolotl import WITH_CONFIG, axolotl_config
from core.conversation import Conversation
from core.examination import examine
from core.formats import ExportFormat
from core.formats_out import export
from resources.line_findings import LineFinding
from resources.line_writer import LineWriter
from resources.upload_files import config_name, file_name
from resources.upload_reading import Sample, Source, TaskRefused, format_in, samples

SHOWN_ERRORS = 200


def preprocess(job: Mapping[str, Any]) -> dict[str, Any]:
    """Write every sample in the wanted format. TaskRefused for invalid ones, unless they may be skipped."""
    source, wanted = Source.of(job), job["output_format"]
    name = file_name(source.id, wanted)
    lost: Counter[str] = Counter()
    unwritten: Counter[str] = Counter()
    errors = _Errors()
    with LineWriter(source.path.with_name(name)) as lines:
        for sample, conversation in _wanted(source, job, errors):
            exported = export(wanted, conversation, liked=_liked(source, sample))
            lost.update(loss.name for loss in exported.lost if exported.record is not None)
            if exported.record is None:
                unwritten.update(f"{loss.name}: {loss.reason}" for loss in exported.lost)
            else:
                lines.write(exported.record)
        if errors.total and not job["skip_invalid"]:
            raise TaskRefused("invalid_samples", f"expected valid samples alone, found {errors.total}: {errors.first}")
        if not lines.count:
            why = "; ".join(unwritten) or errors.first
            raise TaskRefused("nothing_to_write", f"expected something that {wanted} can hold, found nothing: {why}")
        made = lines.finish()
    config = _write_config(source, wanted, name, job["base_model"])
    figures = {"written": made["count"], "skipped": errors.total, "sha256": made["sha256"], "config_path": config}
    named = {"not_written": dict(unwritten), "not_held_by_format": dict(lost)}
    return {"output_path": name, "statistics": {**figures, **named}, "validation_errors": errors.shown}


class _Errors:
    """Every sample that is left out, the first ones by line and rule."""

    def __init__(self) -> None:
        self.total, self.first = 0, ""
        self.shown: list[dict[str, Any]] = []

    def note(self, *findings: LineFinding) -> None:
        self.total += 1
        self.first = self.first or f"line {findings[0].line}, {findings[0].rule}: {findings[0].message}"
        self.shown += [vars(one) for one in findings][: SHOWN_ERRORS - len(self.shown)]


def _wanted(source: Source, job: Mapping[str, Any], errors: _Errors) -> Iterator[tuple[Sample, Conversation]]:
    """Each conversation to be written, masked; what is wrong with the others is noted."""
    for found in samples(source, format_in(source)):
        if not isinstance(found, Sample):
            errors.note(found)
            continue
        masked = [source.masked(conversation)[0] for conversation in found.conversations]
        wrong = [problem for one in masked for problem in _problems(found, one)] if job["validate"] else []
        if wrong:
            errors.note(*wrong)
            continue
        yield from ((found, conversation) for conversation in masked)


def _problems(sample: Sample, conversation: Conversation) -> list[LineFinding]:
    errors = (finding for finding in examine(conversation).findings if finding.severity == "error")
    return [sample.finding(one.rule, one.severity, f"{one.where}: {one.message}") for one in errors]


def _liked(source: Source, sample: Sample) -> bool | None:
    """What the file itself says of the reply; a disliked one was refused when it was read."""
    return True if sample.record.get(source.columns.label) not in (None, "") else None


def _write_config(source: Source, wanted: ExportFormat, name: str, base_model: str) -> str | None:
    if wanted not in WITH_CONFIG:
        return None
    config = source.path.with_name(config_name(source.id, wanted))
    with _private(config) as file:
        file.write(axolotl_config(wanted, name, base_model).encode())
    return config.name


@contextmanager
def _private(path: Path) -> Iterator[Any]:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        yield file
