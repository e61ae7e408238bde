"""Dataset folders: two Parquet files and a manifest written last. The same conversations give the same bytes."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from core.canonical import fingerprint_of
from core.conversation import Conversation
from core.manifest import Manifest
from resources import folders

TRAIN = "train.parquet"
HELD_OUT = "held_out.parquet"

_COLUMNS = pa.schema(
    [
        ("id", pa.string()),
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("reply", pa.string()),
        ("user_id", pa.string()),
        ("session_id", pa.string()),
        ("thread_id", pa.string()),
        ("source", pa.string()),
        ("provenance", pa.string()),
        ("model", pa.string()),
        ("complete", pa.bool_()),
        ("created_at", pa.timestamp("us", tz="UTC")),
        ("unit", pa.string()),
    ]
)


def write(
    folder: Path,
    train: Sequence[Conversation],
    held_out: Sequence[Conversation],
    *,
    version: int,
    base_fingerprint: str,
    parent: int | None,
    units: Mapping[str, str],
    counts: Mapping[str, int],
    details: Mapping[str, str],
) -> Manifest:
    """Publish `folder` whole or not at all; `units` maps a conversation id to its cluster (user or thread)."""
    sides = {TRAIN: _in_order(train), HELD_OUT: _in_order(held_out)}
    _refuse_overlap(sides)
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f"{folder.name}.tmp-", dir=folder.parent))
    try:
        for name, conversations in sides.items():
            pq.write_table(_table(conversations, units), staging / name, compression="zstd", store_schema=False)
        manifest = Manifest(
            kind="dataset",
            version=version,
            files=folders.hashes(staging),
            base_fingerprint=base_fingerprint,
            dataset_hash=content_hash(sides[TRAIN], sides[HELD_OUT]),
            library_versions={"pyarrow": pa.__version__},
            parent=parent,
            counts=dict(counts),
            details=dict(details),
        )
        folders.publish(staging, folder, manifest)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return read_manifest(folder)


def content_hash(train: Sequence[Conversation], held_out: Sequence[Conversation]) -> str:
    """SHA-256 of the conversations of both sides, whichever library wrote them and in whichever order they came."""
    return fingerprint_of(
        {
            name: [conversation.model_dump(mode="json") for conversation in _in_order(conversations)]
            for name, conversations in ((TRAIN, train), (HELD_OUT, held_out))
        }
    )


def read_train(folder: Path) -> list[Conversation]:
    """The conversations to train on, in the order they were written."""
    return _read(folder, TRAIN)


def read_held_out(folder: Path) -> list[Conversation]:
    """The conversations kept out of training, in the order they were written."""
    return _read(folder, HELD_OUT)


def read_units(folder: Path) -> dict[str, str]:
    """Conversation id → cluster unit (user or thread) of both sides."""
    read_manifest(folder)
    tables = [pq.read_table(folder / name, columns=["id", "unit"]) for name in (TRAIN, HELD_OUT)]
    return {entry["id"]: entry["unit"] for table in tables for entry in table.to_pylist()}


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a finished dataset; FolderRefused where there is none."""
    manifest = folders.read_manifest(folder)
    if manifest.kind != "dataset":
        raise folders.FolderRefused(f"Expected a dataset in {folder}, found kind {manifest.kind!r}: move it away")
    return manifest


def _in_order(conversations: Sequence[Conversation]) -> list[Conversation]:
    return sorted(conversations, key=lambda conversation: (conversation.created_at, conversation.id))


def _refuse_overlap(sides: Mapping[str, Sequence[Conversation]]) -> None:
    times = Counter(conversation.id for conversations in sides.values() for conversation in conversations)
    twice = sorted(id_ for id_, n in times.items() if n > 1)
    if twice:
        raise ValueError(f"Expected each conversation once in the dataset, found {len(twice)} twice, first {twice[0]}")


def _table(conversations: Sequence[Conversation], units: Mapping[str, str]) -> pa.Table:
    entries = [{**conversation.model_dump(), "unit": units[conversation.id]} for conversation in conversations]
    return pa.Table.from_pylist(entries, schema=_COLUMNS)


def _read(folder: Path, name: str) -> list[Conversation]:
    manifest, actual = read_manifest(folder), folders.sha256_of(folder / name)
    if actual != manifest.files[name]:  # or an erasure has put another folder in its place in this moment
        manifest, actual = read_manifest(folder), folders.sha256_of(folder / name)
    if actual != manifest.files[name]:
        raise folders.FolderRefused(
            f"Expected SHA-256 {manifest.files[name]} for {folder / name}, found {actual}: "
            f"delete {folder} and materialise validated_dataset again"
        )
    columns = [column for column in _COLUMNS.names if column != "unit"]
    return [Conversation.model_validate(entry) for entry in pq.read_table(folder / name, columns=columns).to_pylist()]
