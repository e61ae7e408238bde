"""Parquet whose footer lies: written by hand, as no honest writer makes it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from resources.parquet_rows import read_parquet
from resources.records import USUAL_LIMITS, BadLine, FileRefused, Record

# wire types of Thrift's compact protocol
I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12


def varint(number: int) -> bytes:
    found = b""
    while number > 127:
        found, number = found + bytes([number & 127 | 128]), number >> 7
    return found + bytes([number])


def fields(*given: tuple[int, int, bytes]) -> bytes:
    """A struct of (id, wire type, encoded value), ids ascending by less than 16."""
    found, last = b"", 0
    for id, kind, value in given:
        found, last = found + bytes([(id - last) << 4 | kind]) + value, id
    return found + b"\0"


def number(value: int) -> bytes:
    return varint(value << 1)


def text(value: bytes, length: int | None = None) -> bytes:
    return varint(len(value) if length is None else length) + value


def many(kind: int, items: list[bytes], length: int | None = None) -> bytes:
    count = len(items) if length is None else length
    return (bytes([count << 4 | kind]) if count < 15 else bytes([0xF0 | kind]) + varint(count)) + b"".join(items)


def group(name: bytes, children: int) -> bytes:
    return fields((3, I32, number(0)), (4, BINARY, text(name)), (5, I32, number(children)))


def leaf(name: bytes) -> bytes:
    return fields((1, I32, number(1)), (3, I32, number(0)), (4, BINARY, text(name)))


def footer(schema: bytes, rows: int = 0, groups: bytes | None = None) -> bytes:
    return fields((1, I32, number(1)), (2, LIST, schema), (3, I64, number(rows)), (4, LIST, groups or many(STRUCT, [])))


def file(metadata: bytes, length: int | None = None) -> bytes:
    size = len(metadata) if length is None else length
    return b"PAR1" + metadata + size.to_bytes(4, "little") + b"PAR1"


FLAT = many(STRUCT, [group(b"root", 1), leaf(b"a")])
TWICE = many(STRUCT, [group(b"root", 2), leaf(b"a"), leaf(b"a")])
LYING: dict[str, tuple[bytes, set[str]]] = {
    "more rows than can be": (file(footer(FLAT, rows=2**60)), {"too_many_records"}),
    "rows below none": (file(footer(FLAT, rows=2**64 - 1)), {"too_many_records", "broken_parquet"}),
    "a list of a billion": (file(footer(many(STRUCT, [], 2**30))), {"broken_parquet"}),
    "a name of a gigabyte": (
        file(footer(many(STRUCT, [fields((4, BINARY, text(b"x", 2**30)))]))), {"broken_parquet"}
    ),
    "a footer longer than the file": (file(footer(FLAT), 2**32 - 1), {"broken_parquet"}),
    "a schema of 40 levels": (
        file(footer(many(STRUCT, [*[group(b"g", 1)] * 41, leaf(b"a")]))), {"too_deep", "broken_parquet"}
    ),
    "a schema of 200,000 levels": (
        file(footer(many(STRUCT, [*[group(b"g", 1)] * 200_000, leaf(b"a")]))), {"too_deep", "broken_parquet"}
    ),
    "a thousand columns": (
        file(footer(many(STRUCT, [group(b"root", 1000), *[leaf(b"c%d" % n) for n in range(1000)]]))),
        {"too_many_columns"},
    ),
    "a column twice": (file(footer(TWICE)), {"duplicate_column"}),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("data", "rules"), LYING.values(), ids=LYING)
def test_a_lying_footer_is_refused(data: bytes, rules: set[str], tmp_path: Path) -> None:
    path = tmp_path / "lying.parquet"
    path.write_bytes(data)
    with pytest.raises(FileRefused) as refused:
        list(read_parquet(path, USUAL_LIMITS))
    assert refused.value.what in rules


def test_the_footer_written_by_hand_is_read_when_it_does_not_lie(tmp_path: Path) -> None:
    path = tmp_path / "honest.parquet"
    path.write_bytes(file(footer(FLAT)))
    assert list(read_parquet(path, USUAL_LIMITS)) == []


def written(tmp_path: Path, columns: dict[str, Any]) -> Iterator[Record | BadLine]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns), tmp_path / "data.parquet")
    return read_parquet(tmp_path / "data.parquet", USUAL_LIMITS)


def test_values_that_json_lacks_become_text_or_spoil_their_row(tmp_path: Path) -> None:
    import datetime
    import decimal

    import pyarrow as pa

    day = datetime.date(2026, 1, 2)
    columns = {
        "day": pa.array([day, day, day]),
        "price": pa.array([decimal.Decimal("1.50")] * 3),
        "nested": pa.array([{"a": [1, None]}, None, {"a": []}]),
        "bytes": pa.array([None, b"x", None]),
        "text": pa.array([b"a", b"b", b"\xff"]).cast(pa.string(), safe=False),
    }
    first, second, third = written(tmp_path, columns)
    wanted = {"day": "2026-01-02", "price": "1.50", "nested": {"a": [1, None]}, "bytes": None, "text": "a"}
    assert first == Record(1, wanted)
    assert isinstance(second, BadLine)
    assert isinstance(third, BadLine)
    assert (second.line, second.rule, third.line, third.rule) == (2, "not_text", 3, "invalid_utf8")


def test_a_reader_that_is_left_early_leaves_no_process_behind(tmp_path: Path) -> None:
    import psutil

    rows = written(tmp_path, {"a": ["x" * 1000] * 5000})
    assert next(rows) == Record(1, {"a": "x" * 1000})
    rows.close()  # type: ignore[attr-defined]
    assert not [child for child in psutil.Process().children() if "parquet_child" in " ".join(child.cmdline())]
