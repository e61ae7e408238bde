"""What a file may cost: every attack on memory is read in a process of its own, whose peak is looked at afterwards."""

import gzip
import json
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LIMIT = 512 << 20  # of the reader and its helper together

READER = """
import json, resource, sys
from pathlib import Path
from resources.readers import read_records
from resources.records import FileRefused, Record
good = bad = 0
refused = None
try:
    for found in read_records(Path(sys.argv[1]), extension=sys.argv[1], keep_good=True):
        good, bad = good + isinstance(found, Record), bad + (not isinstance(found, Record))
except FileRefused as error:
    refused = error.what
own = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:"))
peak = own + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10
print(json.dumps({"good": good, "bad": bad, "refused": refused, "peak": peak}))
"""


def read(path: Path, seconds: float = 60) -> dict[str, Any]:
    """What the reader made of a file; its peak covers the child that reads Parquet."""
    command = [sys.executable, "-c", READER, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def written(path: Path, pieces: Iterator[bytes]) -> Path:
    with path.open("wb") as file:
        for piece in pieces:
            file.write(piece)
    return path


def repeated(piece: bytes, size: int, before: bytes = b"", after: bytes = b"") -> Callable[[], Iterator[bytes]]:
    def pieces() -> Iterator[bytes]:
        yield before
        block = piece * max(1, (1 << 20) // len(piece))
        for _ in range(size // len(block)):
            yield block
        yield after

    return pieces


GOOD = b'{"a": 1}\n'
MIB = 1 << 20
# name | content | what is refused, how many are good and bad
ATTACKS: list[tuple[str, Callable[[], Iterator[bytes]], str | None, int, int]] = [
    ("line.jsonl", repeated(b"x", 50 * MIB, GOOD + b'{"a": "', b'"}\n' + GOOD), None, 2, 1),
    ("torn.jsonl", repeated(b"x", 50 * MIB, GOOD + b'{"a": "'), None, 1, 1),
    ("brackets.jsonl", repeated(b"[", 50 * MIB, GOOD), None, 1, 1),
    ("many.jsonl", repeated(b"[", 3 * MIB, b'{"a": ', b"\n" + GOOD), None, 1, 1),
    ("lists.jsonl", repeated(b"[],", 3 * MIB, b'{"a": [', b"1]}\n" + GOOD), None, 2, 0),
    ("objects.jsonl", repeated(b'{"":0},', 3 * MIB, b'{"a": [', b"1]}\n" + GOOD), None, 2, 0),
    ("texts.jsonl", repeated(b'"",', 3 * MIB, b'{"a": [', b'"\xf0\x9f\x98\x80"]}\n' + GOOD), None, 2, 0),
    ("text.json", repeated(b"x", 50 * MIB, b'[{"a": 1}, {"a": "', b'"}]'), "record_too_long", 1, 0),
    ("deep.json", repeated(b"[", 50 * MIB, b'[{"a": 1}, '), "too_deep", 1, 0),
    ("space.json", repeated(b" ", 50 * MIB, b"[", b'{"a": 1}]'), None, 1, 0),
    ("line.csv", repeated(b"x", 50 * MIB, b"a,b\n1,", b"\n1,2\n"), None, 1, 1),
    ("header.csv", repeated(b"x,", 50 * MIB, b"", b"y\n1,2\n"), "line_too_long", 0, 0),
    ("quote.csv", repeated(b"x" * 1000 + b"\n", 50 * MIB, b'a,b\n1,"'), None, 0, -1),
    ("empty.csv", repeated(b"\n", 5 * MIB, b'a,b\n1,"'), None, 0, 1),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "pieces", "refused", "good", "bad"), ATTACKS, ids=[attack[0] for attack in ATTACKS])
def test_no_text_costs_more_than_its_bound(
    name: str, pieces: Callable[[], Iterator[bytes]], refused: str | None, good: int, bad: int, tmp_path: Path
) -> None:
    told = read(written(tmp_path / name, pieces()))
    assert told["peak"] < LIMIT
    assert (told["refused"], told["good"]) == (refused, good)
    assert told["bad"] == bad or (bad < 0 and told["bad"] > 0)


@pytest.fixture(scope="module")
def gigabyte() -> bytes:
    """A gzip member of a megabyte that holds a gigabyte of zeros."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([packer.compress(b"0" * MIB) for _ in range(1024)]) + packer.flush()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bomb.jsonl.gz", "bomb.json.gz", "bomb.csv.gz", "bomb.parquet.gz"])
def test_a_gigabyte_from_a_megabyte_is_refused_in_bounds(name: str, gigabyte: bytes, tmp_path: Path) -> None:
    before = {"jsonl": b'{"a": "', "json": b'[{"a": "', "csv": b'a\n"', "parquet": b"PAR1"}[name.split(".")[1]]
    path = tmp_path / name
    path.write_bytes(gzip.compress(before) + gigabyte)
    assert path.stat().st_size < 1.1 * MIB
    told = read(path)
    assert told["peak"] < LIMIT
    assert told["refused"] in ("decompression_bomb", "record_too_long")


def parquet(path: Path, table: Any, **options: Any) -> Path:
    import pyarrow.parquet as pq

    pq.write_table(table, path, **options)
    return path


@pytest.mark.slow
def test_one_long_text_that_a_dictionary_repeats_is_refused_in_bounds(tmp_path: Path) -> None:
    import pyarrow as pa

    text = pa.array(["x" * (8 << 20)])
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 50_000, pa.int32()), text)
    path = parquet(tmp_path / "dictionary.parquet", pa.table({"a": column}), compression="zstd")
    assert path.stat().st_size < MIB
    told = read(path)
    assert told["peak"] < LIMIT
    assert told["refused"] == "decompression_bomb"
    assert told["good"] == 0


@pytest.mark.slow
def test_a_page_that_decompresses_beyond_its_bound_is_refused_in_bounds(tmp_path: Path) -> None:
    import pyarrow as pa

    table = pa.table({"a": pa.array(["0" * MIB]).take(pa.array([0] * 300))})
    options: dict[str, Any] = {"compression": "zstd", "use_dictionary": False, "data_page_size": 1 << 30}
    path = parquet(tmp_path / "page.parquet", table, **options)
    assert path.stat().st_size < MIB
    told = read(path)
    assert told["peak"] < LIMIT
    assert (told["refused"], told["good"]) == ("too_much_memory", 0)


@pytest.mark.slow
def test_row_groups_that_decompress_to_gigabytes_are_refused_before_they_are_read(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"a": pa.array(["0" * MIB]).take(pa.array([0] * 32))})
    path = tmp_path / "groups.parquet"
    with pq.ParquetWriter(path, table.schema, compression="zstd", use_dictionary=False) as writer:
        for _ in range(40):
            writer.write_table(table)
    assert path.stat().st_size < MIB
    told = read(path)
    assert told["peak"] < LIMIT
    assert (told["refused"], told["good"]) == ("decompression_bomb", 0)


LINE = json.dumps({"prompt": "Why? " * 40, "completion": "So. " * 100}).encode()
HONEST = {
    "honest.jsonl": repeated(LINE + b"\n", 99 * MIB),
    "honest.json": repeated(LINE + b",\n", 99 * MIB, b"[", LINE + b"]"),
    "honest.csv": repeated(b'Why?,"So, ' + b"it is. " * 70 + b'"\n', 99 * MIB, b"prompt,completion\n"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HONEST)
def test_an_honest_file_of_the_largest_size_is_streamed(name: str, tmp_path: Path) -> None:
    told = read(written(tmp_path / name, HONEST[name]()), seconds=120)
    assert told["peak"] < 64 * MIB
    assert (told["refused"], told["bad"]) == (None, 0)
    assert told["good"] > 100_000
