"""Files of records, whatever they are in: streamed, bounded, and refused with what, where and why."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from resources.csv_rows import read_csv
from resources.file_kinds import GZIP, HEAD_BYTES, check_kind
from resources.file_names import Kind, NameRefused, kind_of
from resources.gunzip import gunzipped
from resources.json_arrays import read_json
from resources.json_lines import read_json_lines
from resources.parquet_rows import read_parquet
from resources.records import USUAL_LIMITS, BadLine, FileRefused, Limits, Record, stored_limits

_Reader = Callable[[BinaryIO, Limits], Iterator[Record | BadLine]]
_READERS: dict[Kind, _Reader] = {"jsonl": read_json_lines, "json": read_json, "csv": read_csv}


def read_records(
    source: Path | BinaryIO, *, extension: str, limits: Limits = USUAL_LIMITS, keep_good: bool = False
) -> Iterator[Record | BadLine]:
    """The records of a file or seekable stream whose name ends in `extension` (`.jsonl`, `.csv.gz`, ...).

    The first bad line raises FileRefused; with `keep_good` it is yielded as BadLine in its place instead, and reading
    goes on. What spoils a file as a whole raises FileRefused in either case, after the records before it.
    """
    try:
        kind, compressed = kind_of(extension)
    except NameRefused as refused:
        raise FileRefused("unknown_extension", str(refused)) from None
    nothing = True
    with _opened(source) as file:
        _check_size(file, limits)
        for count, found in enumerate(_read(file, kind, compressed, limits), start=1):
            if count > limits.records:
                most = f"expected at most {limits.records} records, found more"
                raise FileRefused("too_many_records", most, found.line)
            if isinstance(found, BadLine) and not keep_good:
                raise FileRefused.for_line(found)
            nothing = False
            yield found
    if nothing:
        raise FileRefused("empty_file", "expected at least one record, found none")


def read_stored(source: Path, extension: str, *, keep_good: bool) -> Iterator[Record | BadLine]:
    """As `read_records`, of a file that was taken in already."""
    return read_records(source, extension=extension, limits=stored_limits(extension), keep_good=keep_good)


def _read(file: BinaryIO, kind: Kind, compressed: bool, limits: Limits) -> Iterator[Record | BadLine]:
    if kind != "parquet":
        yield from _READERS[kind](_checked(file, kind, compressed, limits), limits)
        return
    # compressed inside already, and copied whole for the process that reads it
    whole = limits._replace(decompressed_bytes=limits.file_bytes)
    yield from _parquet(_checked(file, kind, compressed, whole), limits)


def _checked(file: BinaryIO, kind: Kind, compressed: bool, limits: Limits) -> BinaryIO:
    """The file from its start, without gzip, once its first bytes are what its name says."""
    start = file.read(len(GZIP))
    if compressed and start not in (GZIP, b""):
        raise FileRefused("wrong_extension", "expected gzip as its name says, found something else")

    def opened() -> BinaryIO:
        file.seek(0)
        return gunzipped(file, limits) if compressed and start else file

    check_kind(opened().read(HEAD_BYTES), kind)
    return opened()


def _parquet(file: BinaryIO, limits: Limits) -> Iterator[Record | BadLine]:
    """Through a copy without a name, which nothing can leave behind: the reading process finds it among our files."""
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(file, copy, 1 << 20)
        copy.flush()
        yield from read_parquet(Path(f"/proc/{os.getpid()}/fd/{copy.fileno()}"), limits)


@contextmanager
def _opened(source: Path | BinaryIO) -> Iterator[BinaryIO]:
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield file
    else:
        yield source


def _check_size(file: BinaryIO, limits: Limits) -> None:
    size = file.seek(0, 2)
    file.seek(0)
    if size > limits.file_bytes:
        raise FileRefused("file_too_large", f"expected at most {limits.file_bytes} bytes, found {size}")
