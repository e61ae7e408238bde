"""An uploaded file in three parts, so that no person, thread or near-duplicate is in two of them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

from core.conversation import Conversation
from core.duplicates import exact_hash, text_of
from core.formats_out import export
from core.grouped_split import Groups, assign
from core.review import is_renderable
from resources.bands import MemoryBands
from resources.line_writer import LineWriter
from resources.near_duplicates import NearDuplicates
from resources.text_file import TextFile
from resources.upload_files import file_name
from resources.upload_reading import Sample, Source, TaskRefused, format_in, in_batches, length_of, samples

PARTS = ("train", "validation", "test")
_BATCH = 1_000
MOST_COMPARED = 500_000  # conversations; the bands of more would not fit in the memory that a split may take


def split(job: Mapping[str, Any]) -> dict[str, Any]:
    """Counts and hashes of each part, equal for equal files and shares; an exact duplicate is written once."""
    source = Source.of(job)
    shares = [job["shares"][part] for part in PARTS]
    groups, keys, repeated = _grouped(source)
    sizes = Counter(groups.of(key) for key in keys)
    placed = assign(sizes, shares)
    found = _write(source, [placed[groups.of(key)] for key in keys], repeated, shares)
    return {"split": found, "groups": len(sizes), "duplicates_left_out": len(repeated)}


def _grouped(source: Source) -> tuple[Groups, list[str], set[int]]:
    """The groups, the key of each conversation in its order, and the numbers of those that repeat an earlier one."""
    groups, keys, repeated = Groups(), list[str](), set[int]()
    first: dict[bytes, int] = {}
    with TextFile() as texts:
        near = NearDuplicates(MemoryBands(), texts.get)
        every = _conversations(source)
        for batch in in_batches(every, _BATCH, length_of):
            new = []
            for conversation in batch:
                number = len(keys) + 1
                if number > MOST_COMPARED:
                    message = (
                        f"expected at most {MOST_COMPARED} conversations to split, found more: split the file first"
                    )
                    raise TaskRefused("too_many_samples", message)
                key = f"conversation:{number}"
                keys.append(key)
                for person in _people(conversation):
                    groups.join(key, person)
                same = first.setdefault(bytes.fromhex(exact_hash(conversation))[:16], number)
                text = text_of(conversation)
                texts.add(text)
                if same == number:
                    new.append((number, text))
                else:  # written nowhere: dialogues that end alike have only this in common
                    repeated.add(number)
            for number, placed in near.place(new).items():
                for other in (placed.cluster, *placed.near):
                    groups.join(f"conversation:{number}", f"conversation:{other}")
    if not keys:
        raise TaskRefused("no_samples", "expected a sample that a model can be trained on, found none")
    return groups, keys, repeated


def _people(conversation: Conversation) -> Iterator[str]:
    """Who and what must not be on both sides."""
    for kind, name in (("user", conversation.user_id), ("thread", conversation.thread_id)):
        if name is not None:
            yield f"{kind}:{name}"


def _write(source: Source, parts: list[int], repeated: set[int], shares: list[float]) -> dict[str, dict[str, Any]]:
    with ExitStack() as stack:
        files = [stack.enter_context(LineWriter(source.path.with_name(file_name(source.id, part)))) for part in PARTS]
        for number, conversation in enumerate(_conversations(source), start=1):
            record = export("messages", conversation).record
            if number not in repeated and record is not None:
                files[parts[number - 1]].write(record)
        made = [file.finish() for file in files]
    return {part: {"share": share, **one} for part, share, one in zip(PARTS, shares, made, strict=True)}


def _conversations(source: Source) -> Iterator[Conversation]:
    """What can be trained on, masked, in the order of the file."""
    for found in samples(source, format_in(source)):
        if isinstance(found, Sample):
            masked = (source.masked(conversation)[0] for conversation in found.conversations)
            yield from (conversation for conversation in masked if is_renderable(conversation))
