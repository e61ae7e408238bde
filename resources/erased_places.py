"""Where a person's words lie outside the store, and how each place forgets them."""

import json
import os
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.manifest import MANIFEST_NAME, Manifest
from core.pseudonyms import Pseudonyms
from resources import folders
from resources.erasure_rows import Pending

EVALUATION = "evaluation.json"
ERASED = "erased"
_BATCH_ROWS = 8192
# parts of an evaluation that name conversations and their units
_OF_CONVERSATIONS = ("held_out", "general", "overlaps", "lifts", "golden", "golden_overlaps")
# one name, so that what a crash left is found: after the exchange it holds what was to be erased
_STAGING = ".tmp-erasing"

Unknown = Callable[[Collection[str], str], set[str]]
Names = Callable[[], Pseudonyms]


class Place(Protocol):
    """Something that holds text of conversations; both methods may be repeated and may be interrupted anywhere."""

    @property
    def name(self) -> str:
        """What the event calls it."""

    def erase(self, who: Pending) -> int:
        """Remove what is of this person; how many pieces were removed."""

    def users(self) -> set[str]:
        """Everybody of whom something is kept here, by name or pseudonym."""


class DatasetFiles:
    """The Parquet files of every version; that of an unfinished one is removed, for its next step to make it anew.

    Those of an earlier release call people by their names.
    """

    name = "datasets"

    def __init__(self, folder: Path, unknown: Unknown, untrained: Callable[[], int | None], names: Names) -> None:
        """`unknown` tells which conversations of a user the store does not hold, `untrained` which version is open."""
        self._folder, self._unknown, self._untrained, self._names = folder, unknown, untrained, names

    def erase(self, who: Pending) -> int:
        for left_over in self._folder.glob(f"v*{_STAGING}"):
            shutil.rmtree(left_over)
        return sum(self._rewrite(folder, who) for folder in self._folders())

    def users(self) -> set[str]:
        found: set[str] = set()
        for folder in self._folders():
            for path in _tables(folder):
                found.update(pq.read_table(path, columns=["user_id"])["user_id"].drop_null().unique().to_pylist())
        return found

    def _folders(self) -> Iterator[Path]:
        for path in sorted(self._folder.glob(f"v*/{MANIFEST_NAME}")):
            if path.parent.name[1:].isdecimal():
                yield path.parent

    def _rewrite(self, folder: Path, who: Pending) -> int:
        # what the person said since the erasure is in the store, and stays
        called = [who.user_id, self._names().of(who.user_id)]
        of_each = {path.name: _ids_of(path, called) for path in _tables(folder)}
        gone = {name: left for name, ids in of_each.items() if ids and (left := self._unknown(ids, who.user_id))}
        if not gone:
            return 0
        if folder.name == f"v{self._untrained()}":
            shutil.rmtree(folder)
        else:
            _without(folder, gone, called)
        return sum(len(ids) for ids in gone.values())


class ResetCopies:
    """The files that a reset leaves: one conversation a line."""

    name = "resets"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def erase(self, who: Pending) -> int:
        for left_over in self._folder.glob(f"*{_STAGING}"):
            left_over.unlink()
        return sum(_without_lines(path, who.user_id) for path in self._files())

    def users(self) -> set[str]:
        lines = (line for path in self._files() for line in path.read_bytes().splitlines())
        return {user for line in lines if (user := _user_of(line)) is not None}

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.jsonl"))


class Evaluations:
    """What was measured on each conversation: the losses stay, so that a verdict can be checked; the names go."""

    name = "reports"

    def __init__(self, names: Names, *folders: Path) -> None:
        self._names, self._folders = names, folders

    def erase(self, who: Pending) -> int:
        names = self._names()
        ids, units = {*who.ids, *map(names.id, who.ids)}, _units_of(who)
        return sum(_without_names(path, ids, {*units, *map(names.unit, units)}) for path in self._files())

    def users(self) -> set[str]:
        units = (pair["unit"] for path in self._files() for pair in _pairs(_json(path)))
        return {unit.removeprefix("user:") for unit in units if unit.startswith("user:")}

    def _files(self) -> list[Path]:
        return sorted(path for folder in self._folders for path in folder.rglob(EVALUATION))


class MeasuredAnswers:
    """What models answered to prompts held out, kept to be asked once: whose prompts they were stands nowhere."""

    name = "measured answers"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def erase(self, who: Pending) -> int:
        """All of them, whoever asked: what is needed again is measured again."""
        files = list(self._folder.glob("*.json"))
        for path in files:
            path.unlink(missing_ok=True)
        return len(files)

    def users(self) -> set[str]:
        return set()


def _tables(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet"))


def _ids_of(path: Path, called: Sequence[str]) -> list[str]:
    table = pq.read_table(path, columns=["id", "user_id"])
    theirs = pc.is_in(table["user_id"], value_set=pa.array(called, pa.string()))
    ids: list[str] = table.filter(theirs)["id"].to_pylist()
    return ids


def _without(folder: Path, gone: dict[str, set[str]], called: Sequence[str]) -> None:
    """The same folder without these rows; `dataset_hash` stays that of what was trained on."""
    manifest = folders.read_manifest(folder)
    staging = folder.with_name(folder.name + _STAGING)
    staging.mkdir()
    try:
        for name in manifest.files:
            if name in gone:
                _copy_table(folder / name, staging / name, gone[name], called)
            else:
                shutil.copyfile(folder / name, staging / name)
        folders.exchange(staging, folder, _told(manifest, folders.hashes(staging), gone))
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _told(manifest: Manifest, files: dict[str, str], gone: dict[str, set[str]]) -> Manifest:
    """Each side counts what is left, and beside it what was removed."""
    counts = Counter(manifest.counts)
    for name, ids in gone.items():
        side = Path(name).stem
        counts[side] -= len(ids)
        counts[f"{ERASED}.{side}"] += len(ids)
    details = {**manifest.details, ERASED: "rows of people who asked for it; dataset_hash is of what was trained on"}
    return manifest.model_copy(update={"files": files, "counts": dict(counts), "details": details})


def _copy_table(source: Path, target: Path, gone: set[str], called: Sequence[str]) -> None:
    """In pieces; another's row whose unit bears the person's name keeps a unit without one."""
    ids, theirs = pa.array(sorted(gone), pa.string()), pa.array([f"user:{name}" for name in called], pa.string())
    with pq.ParquetFile(source) as file, pq.ParquetWriter(
        target, file.schema_arrow, compression="zstd", store_schema=False
    ) as writer:  # fmt: skip
        for batch in file.iter_batches(_BATCH_ROWS):
            kept = batch.filter(pc.invert(pc.is_in(batch["id"], value_set=ids)))
            if "unit" in kept.schema.names:
                units = pc.if_else(
                    pc.is_in(kept["unit"], value_set=theirs), f"{ERASED}:{uuid.uuid4().hex}", kept["unit"]
                )
                kept = kept.set_column(kept.schema.get_field_index("unit"), kept.schema.field("unit"), units)
            writer.write_batch(kept)


def _user_of(line: bytes) -> str | None:
    try:
        user: str | None = json.loads(line)["conversation"]["user_id"]
    except (ValueError, LookupError, TypeError):  # no line of ours
        return None
    return user


def _without_lines(path: Path, user_id: str) -> int:
    with path.open("rb") as file:
        removed = sum(_user_of(line) == user_id for line in file)
    if not removed:
        return 0
    staging = path.with_name(path.name + _STAGING)
    handle = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with path.open("rb") as source, os.fdopen(handle, "wb") as target:
            target.writelines(line for line in source if _user_of(line) != user_id)
            target.flush()
            os.fsync(target.fileno())
        staging.rename(path)
    finally:
        staging.unlink(missing_ok=True)
    return removed


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def _pairs(evaluation: dict[str, Any]) -> list[dict[str, Any]]:
    return [pair for part in _OF_CONVERSATIONS for pair in evaluation.get(part) or ()]


def _without_names(path: Path, ids: Collection[str], theirs: Collection[str]) -> int:
    evaluation = _json(path)
    # one new name a unit, so that the clusters of the test stay what they were
    units = {name: f"{ERASED}:{uuid.uuid4().hex}" for name in theirs}
    renamed = 0
    for pair in _pairs(evaluation):
        if pair["conversation_id"] in ids or pair["unit"] in units:
            pair["conversation_id"] = f"{ERASED}:{uuid.uuid4().hex}"
            pair["unit"] = units.get(pair["unit"], pair["unit"])
            renamed += 1
    if renamed:
        folders.write_whole(path, json.dumps(evaluation, indent=1, ensure_ascii=False))
    return renamed


def _units_of(who: Pending) -> list[str]:
    return [f"user:{who.user_id}", *(f"thread:{thread}" for thread in who.threads)]
