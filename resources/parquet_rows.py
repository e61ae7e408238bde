"""Rows of a Parquet file, read by a process of its own: what a file does to its reader, it does not do to us."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from resources.json_lines import read_json_lines
from resources.records import BadLine, FileRefused, Limits, Record

_CHILD = Path(__file__).with_name("parquet_child.py")
# one arena and the C library's own allocator: what is asked for is what the limit counts
_ENVIRONMENT = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}
_ENVELOPE = len('{"row":}')


def read_parquet(path: Path, limits: Limits) -> Iterator[Record | BadLine]:
    """Each row, numbered from 1. Raises FileRefused when the file is broken or asks for too much."""
    ended = False
    with _child(path, limits) as child:
        output = cast(BinaryIO, child.stdout)
        for said in read_json_lines(output, limits._replace(record_bytes=limits.record_bytes + _ENVELOPE)):
            if isinstance(said, BadLine):
                # a torn line is the mark of a process that was ended, no fault of the row
                if said.rule == "torn_last_line":
                    break
                yield said._replace(column=0)
            elif "row" in said.value:
                yield Record(said.line, said.value["row"])
            elif "bad" in said.value:
                yield BadLine(said.line, 0, *said.value["bad"])
            else:
                rule, message = said.value["refused"]
                raise FileRefused(rule, message, said.line if said.line > 1 else 0)
        ended = child.wait() == 0
    if not ended:
        message = "expected Parquet, found what ended its reader: too much memory, time or damage"
        raise FileRefused("broken_parquet", message)


@contextmanager
def _child(path: Path, limits: Limits) -> Iterator["subprocess.Popen[bytes]"]:
    """The reading process, which bounds its own memory and computing time, and is never left behind."""
    bounds = limits.records, limits.columns, limits.decompressed_bytes, limits.parquet_bytes, limits.parquet_seconds
    process = subprocess.Popen(
        [sys.executable, "-I", str(_CHILD), str(path), *(str(bound) for bound in bounds)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_ENVIRONMENT,
    )
    try:
        yield process
    finally:
        process.kill()
        cast(BinaryIO, process.stdout).close()
        process.wait()
