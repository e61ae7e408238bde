"""Dataset folders: a Parquet file for each side, a manifest written last. Equal conversations give equal bytes."""

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from core.conversation import Conversation
from core.manifest import Manifest
from core.sides import SIDES, Side
from resources import folders
from resources.dataset_columns import CONVERSATION, DatasetRow
from resources.dataset_writer import DatasetWriter, file_of

# rows that are read at once
BATCH = 2_048


def write(
    folder: Path,
    pieces: Iterable[Sequence[DatasetRow]],
    *,
    version: int,
    base_fingerprint: str,
    parent: int | None,
    counts: Mapping[str, int],
    details: Mapping[str, str],
) -> Manifest:
    """Publish `folder` whole or not at all; one that holds other conversations is replaced.

    The rows come in the order in which they are to stand, by time and id; how they are cut into pieces changes nothing.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f"{folder.name}.tmp-", dir=folder.parent))
    try:
        with DatasetWriter(staging, version) as writer:
            writer.write(pieces)
        manifest = Manifest(
            kind="dataset",
            version=version,
            files=folders.hashes(staging),
            base_fingerprint=base_fingerprint,
            dataset_hash=writer.hash,
            library_versions={"pyarrow": pa.__version__},
            parent=parent,
            counts={**counts, **writer.counts},
            details=dict(details),
        )
        if folders.is_whole(folder) and read_manifest(folder) != manifest:
            folders.exchange(staging, folder, manifest)
        else:
            folders.publish(staging, folder, manifest)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return read_manifest(folder)


def read_train(folder: Path) -> list[Conversation]:
    """The conversations to train on, in the order they were written."""
    return read_side(folder, "train")


def read_held_out(folder: Path) -> list[Conversation]:
    """The conversations kept out of training, in the order they were written."""
    return read_side(folder, "held_out")


def read_side(folder: Path, side: Side) -> list[Conversation]:
    """All conversations of a side; FolderRefused where the file is not the one that was written."""
    batches = read_columns(folder, side, CONVERSATION.names)
    return [Conversation.model_validate(entry) for batch in batches for entry in batch]


def read_columns(folder: Path, side: Side, columns: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
    """Some columns of a side in pieces, after the whole file was checked against the manifest."""
    for batch in read_batches(folder, side, columns):
        yield batch.to_pylist()


def read_batches(folder: Path, side: Side, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The same as Arrow has it."""
    path = checked_file(folder, side)
    if path is not None:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(BATCH, columns=list(columns))


def read_units(folder: Path) -> dict[str, str]:
    """Conversation id → cluster unit (user or thread) of all sides."""
    batches = (batch for side in SIDES for batch in read_columns(folder, side, ["id", "unit"]))
    return {entry["id"]: entry["unit"] for batch in batches for entry in batch}


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a finished dataset; FolderRefused where there is none."""
    manifest = folders.read_manifest(folder)
    if manifest.kind != "dataset":
        raise folders.FolderRefused(f"Expected a dataset in {folder}, found kind {manifest.kind!r}: move it away")
    return manifest


def checked_file(folder: Path, side: Side) -> Path | None:
    """The file of a side, unchanged since it was written; None where an older release wrote the dataset without it."""
    manifest, name = read_manifest(folder), file_of(side)
    if name not in manifest.files:
        return None
    actual = folders.sha256_of(folder / name)
    if actual != manifest.files[name]:  # or an erasure has put another folder in its place in this moment
        manifest, actual = read_manifest(folder), folders.sha256_of(folder / name)
    if actual != manifest.files[name]:
        raise folders.FolderRefused(
            f"Expected SHA-256 {manifest.files[name]} for {folder / name}, found {actual}: "
            f"delete {folder} and materialise validated_dataset again"
        )
    return folder / name
