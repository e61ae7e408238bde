"""An uploaded file into the store; ids are made of the file and its line, so that each conversation counts once."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from core.conversation import Conversation
from core.live_settings import LiveSettings
from core.review import UNRENDERABLE
from core.rules import format_findings
from resources.line_findings import LineFinding
from resources.store import Store
from resources.upload_reading import Sample, Source, TaskRefused, format_in, in_batches, length_of, samples

INGESTED = "dataset_ingested"
_CHUNK = 200  # a commit that chats, who share the database's one writer, do not feel
_REFUSED = UNRENDERABLE | {"empty_reply"}


def ingest(job: Mapping[str, Any]) -> dict[str, Any]:
    """Take in what is not there yet; again it gives the same counts. TaskRefused for what may not be skipped."""
    source = Source.of(job)
    tally: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    if not job["skip_invalid"]:
        _demand_good(source)
    store = Store(job["database_url"], live_defaults=LiveSettings())
    try:
        before = store.uploads.get(source.id).ingested
        every = _conversations(source, rejected)
        gone: set[str] = set()
        for batch in in_batches(every, _CHUNK, length_of):
            # asked for while this file is read; an erasure may be done before we are
            gone |= {who.user_id for who in store.erasures.due(timedelta(0))}
            seconds = _take(store, [one for one in batch if one.user_id not in gone], tally)
            running = _outcome("running", source, tally, rejected)
            store.uploads.change(source.id, {"ingested": running})
            time.sleep(min(seconds, 1.0))  # others write as long as we do
        done = _outcome("completed", source, tally, rejected)
        store.uploads.change(source.id, {"ingested": done})
        if done != before:
            message = f"dataset {source.id}: {done['accepted']} conversations were ingested"
            store.events.add(INGESTED, message, data={"dataset_id": source.id, **done})
    finally:
        store.close()
    return done


def _demand_good(source: Source) -> None:
    """Before anything is taken in."""
    for found in samples(source, format_in(source)):
        wrong = found if isinstance(found, LineFinding) else next(_unrenderable(found), None)
        if wrong:
            where = f"line {wrong.line}, {wrong.rule}: {wrong.message}"
            message = f"expected valid samples alone, found {where}; skip_invalid takes in the others"
            raise TaskRefused("invalid_samples", message)


def _take(store: Store, batch: list[Conversation], tally: Counter[str]) -> float:
    """What was known under its own id counts as it did the first time."""
    began = time.monotonic()
    for captured in store.conversations.capture(batch):
        tally["duplicates" if captured.reason == "duplicate" else "accepted"] += 1
        tally["held_back"] += captured.reason == "personal_data"
        tally["eligible"] += captured.eligible
    return time.monotonic() - began


def _conversations(source: Source, rejected: Counter[str]) -> Iterator[Conversation]:
    for found in samples(source, format_in(source)):
        if isinstance(found, LineFinding):
            rejected[found.rule] += 1
            continue
        wrong = list(_unrenderable(found))
        rejected.update({finding.rule for finding in wrong})
        if not wrong:
            yield from found.conversations


def _unrenderable(sample: Sample) -> Iterator[LineFinding]:
    for conversation in sample.conversations:
        for one in format_findings(conversation.messages, conversation.reply):
            if one.rule in _REFUSED:
                yield sample.finding(one.rule, one.severity, f"{one.where}: {one.message}")


def _outcome(state: str, source: Source, tally: Counter[str], rejected: Counter[str]) -> dict[str, Any]:
    names = ("accepted", "eligible", "duplicates", "held_back")
    counts = {name: tally[name] for name in names}
    return {"state": state, "provenance": source.provenance, **counts, "rejected": dict(rejected)}
