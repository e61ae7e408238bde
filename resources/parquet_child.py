"""Parquet to JSON Lines, run as a process of its own whose memory the kernel bounds: nothing in a file can be trusted.

`python parquet_child.py FILE RECORDS COLUMNS DECOMPRESSED_BYTES MEMORY_BYTES SECONDS` writes one object a line:
{"row": {…}}, {"bad": [rule, message]} for a row that has no JSON, {"refused": [rule, message]} for the rest.
It imports nothing of the house, so that it can run isolated from the environment.
"""

import json
import resource
import sys
from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

_MOST_DEPTH = 32
_BATCH_BYTES = 8 << 20
_METADATA_BYTES = 16 << 20
_METADATA_ITEMS = 1_000_000


class _Refused(Exception):
    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


def main(file: str, records: int, columns: int, decompressed: int, memory: int, seconds: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pa.set_memory_pool(pa.system_memory_pool())
    pa.set_cpu_count(1)
    _bound(memory, seconds)
    try:
        left = decompressed  # a dictionary or a run makes a long text of every row out of nearly nothing
        for line in _lines(pq, file, records, columns, decompressed):
            left -= len(line)
            if left < 0:
                raise _Refused("decompression_bomb", f"expected rows of at most {decompressed} bytes, found more")
            sys.stdout.buffer.write(line + b"\n")
    except _Refused as refused:
        _say("refused", refused.rule, str(refused))
    except MemoryError:
        _say("refused", "too_much_memory", f"expected data that fits in {memory} bytes, found more")
    except (pa.ArrowException, OSError, ValueError):  # their words can quote the file
        _say("refused", "broken_parquet", "expected sound Parquet, found damage")


def _bound(memory: int, seconds: int) -> None:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    used = next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmSize:"))
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _lines(pq: Any, file: str, records: int, columns: int, decompressed: int) -> Iterator[bytes]:
    options = {
        "thrift_string_size_limit": _METADATA_BYTES,
        "thrift_container_size_limit": _METADATA_ITEMS,
        "buffer_size": 1 << 20,
        "pre_buffer": False,
        "memory_map": False,
    }
    with pq.ParquetFile(file, **options) as opened:
        _check(opened.metadata, opened.schema_arrow, records, columns, decompressed)
        for batch in opened.iter_batches(batch_size=_batch_size(opened.metadata), use_threads=False):
            for index in range(batch.num_rows):
                yield _line(batch, index)


def _check(metadata: Any, schema: Any, records: int, columns: int, decompressed: int) -> None:
    if not 0 <= metadata.num_rows <= records:
        raise _Refused("too_many_records", f"expected at most {records} rows, found {metadata.num_rows} declared")
    if metadata.num_columns > columns:
        raise _Refused("too_many_columns", f"expected at most {columns} columns, found {metadata.num_columns}")
    if len(set(schema.names)) != len(schema.names):
        raise _Refused("duplicate_column", "expected every column once, found a name twice")
    if any(_depth(field.type) > _MOST_DEPTH for field in schema):
        raise _Refused("too_deep", f"expected at most {_MOST_DEPTH} levels of nesting, found more")
    declared = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    if not 0 <= declared <= decompressed:
        raise _Refused("decompression_bomb", f"expected at most {decompressed} bytes decompressed, found {declared}")


def _depth(kind: Any) -> int:
    """How deep a type nests, given up beyond the limit."""
    depth, level = 0, [kind]
    while level and depth <= _MOST_DEPTH:
        depth += 1
        level = [inner.field(i).type for inner in level for i in range(inner.num_fields)]
    return depth


def _batch_size(metadata: Any) -> int:
    declared = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    row = max(1, int(declared) // max(1, int(metadata.num_rows)))
    return max(1, min(1024, _BATCH_BYTES // row))


def _line(batch: Any, index: int) -> bytes:
    try:
        [row] = batch.slice(index, 1).to_pylist()
        text = json.dumps({"row": row}, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
        return text.encode()
    except UnicodeDecodeError:
        return _bad("invalid_utf8", "expected UTF-8, found an invalid byte")
    except TypeError:
        return _bad("not_text", "expected text, numbers and lists of them, found bytes or another kind of value")
    except (ValueError, OverflowError):
        return _bad("not_a_number", "expected values that JSON has, found NaN or one out of range")


def _plain(value: Any) -> str:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError


def _bad(rule: str, message: str) -> bytes:
    return json.dumps({"bad": [rule, message]}).encode()


def _say(what: str, rule: str, message: str) -> None:
    sys.stdout.buffer.write(json.dumps({what: [rule, message]}).encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1], *(int(argument) for argument in sys.argv[2:]))
    sys.stdout.buffer.flush()
