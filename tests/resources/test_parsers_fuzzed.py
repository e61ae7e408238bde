"""Every parser under Hypothesis: whatever bytes come in, in whatever pieces, they are read or refused alike."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from resources.csv_rows import read_csv
from resources.file_names import NameRefused, kind_of, safe_name
from resources.gunzip import gunzipped
from resources.json_arrays import read_json
from resources.json_lines import read_json_lines
from resources.readers import read_records
from resources.records import USUAL_LIMITS, BadLine, FileRefused, Limits, Record

LIMITS = USUAL_LIMITS._replace(record_bytes=400, columns=6)
Read = Callable[[BinaryIO, Limits], Iterator[Record | BadLine]]

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
records = st.lists(st.dictionaries(texts, texts | st.integers() | st.none() | st.lists(texts, max_size=2), max_size=3),
                   min_size=1, max_size=5)  # fmt: skip
JSON_PARTS = [
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b'"a"',
        b'"',
        b"\\",
        b"\\ud83d",
        b"\\ude00",
        b"\\u0000",
        b"1",
        b"1e999",
        b"-",
    ),
    *(b"NaN", b"true", b"tru", b"\xc3\xa9", b"\xf0\x9f\x98\x80", b"\xff", b"\xef\xbb\xbf", b"\0", b" ", b"\n"),
    *(b'{"a":1}', b'{"a":1,"a":2}', b"x" * 200),
]
CSV_PARTS = [
    *(b",", b";", b'"', b'""', b"a", b"=1", b"\n", b"\r\n", b"\r", b"b,c\n", b"\0", b"\xff", b"x" * 200),
]
MAGIC = [b"PAR1", b"PK\x03\x04", b"\x1f\x8b", b"\xff\xfe", b"\xef\xbb\xbf"]
ENDINGS = [".jsonl", ".json", ".csv", ".jsonl.gz", ".csv.gz", ".txt", ""]


class Pieces(io.RawIOBase):
    """A file that gives its bytes in pieces of its own size."""

    def __init__(self, data: bytes, size: int) -> None:
        self._file, self._size = io.BytesIO(data), size

    def read(self, size: int = -1) -> bytes:
        return self._file.read(self._size)


def outcome(read: Read, file: Any) -> tuple[list[Record | BadLine], Any]:
    found: list[Record | BadLine] = []
    try:
        for item in read(file, LIMITS):
            found.append(item)
    except FileRefused as refused:
        return found, (refused.what, refused.line, refused.column)
    return found, None


def sound(found: list[Record | BadLine]) -> None:
    """In order, with places, and fit to be stored."""
    lines = [item.line for item in found]
    assert lines == sorted(lines)
    for item in found:
        assert item.line >= 1
        if isinstance(item, Record):
            written = json.dumps(item.value, ensure_ascii=False, allow_nan=False)
            assert "\\u0000" not in written
            written.encode()
        else:
            assert item.column >= 0
            assert item.rule


def parts(of: list[bytes]) -> st.SearchStrategy[bytes]:
    return st.lists(st.sampled_from(of), max_size=14).map(b"".join) | st.binary(max_size=30)


@pytest.mark.parametrize("read", [read_json_lines, read_json])
@example(data=b'[{"a": 1}, 1234567, "text", true]', size=1)
@given(data=parts(JSON_PARTS), size=st.integers(1, 40))
def test_json_of_any_bytes_is_read_or_refused_the_same_in_any_pieces(read: Read, data: bytes, size: int) -> None:
    found, refused = outcome(read, io.BytesIO(data))
    sound(found)
    assert outcome(read, Pieces(data, size)) == (found, refused)


@given(data=parts(CSV_PARTS), size=st.integers(1, 40))
def test_csv_of_any_bytes_is_read_or_refused_the_same_in_any_pieces(data: bytes, size: int) -> None:
    found, refused = outcome(read_csv, io.BytesIO(data))
    for item in found:
        assert not isinstance(item, Record) or len(item.value) <= LIMITS.columns
    assert outcome(read_csv, Pieces(data, size)) == (found, refused)


@given(given_records=records, indent=st.none() | st.integers(0, 2), ascii=st.booleans(), size=st.integers(1, 40))
def test_sound_json_gives_back_its_records(given_records: Any, indent: int | None, ascii: bool, size: int) -> None:
    array = json.dumps(given_records, indent=indent, ensure_ascii=ascii).encode()
    lines = b"".join(json.dumps(record, ensure_ascii=ascii).encode() + b"\n" for record in given_records)
    for read, data in ((read_json, array), (read_json, b'{"data": ' + array + b"}"), (read_json_lines, lines)):
        found, refused = outcome(read, Pieces(data, size))
        assert [item.value for item in found if isinstance(item, Record)] == given_records
        assert refused is None


cells = st.lists(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from(["\n", "\r\n", '"', ",", ";"]), max_size=9
).map("".join)


@given(rows=st.lists(st.tuples(cells, cells), min_size=1, max_size=5), delimiter=st.sampled_from(",;\t"))
def test_sound_csv_gives_back_its_rows(rows: list[tuple[str, str]], delimiter: str) -> None:
    plain = [row for row in rows if not any(cell.lstrip()[:1] in tuple("=+-@") for cell in row) and any(row)]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *plain])
    found, refused = outcome(read_csv, io.BytesIO(text.getvalue().encode()))
    assert refused is None
    assert [tuple(item.value.values()) for item in found if isinstance(item, Record)] == plain


@given(pieces=st.lists(st.binary(max_size=60), min_size=1, max_size=3), size=st.integers(1, 50), cut=st.integers(1, 20))
def test_gzip_gives_back_all_its_members_or_says_that_it_is_torn(pieces: list[bytes], size: int, cut: int) -> None:
    members = [gzip.compress(piece) for piece in pieces]
    whole = b"".join(members)
    assert gunzipped(Pieces(whole, size), LIMITS).read() == b"".join(pieces)
    assert gunzipped(Pieces(whole + b"\0" * cut, size), LIMITS).read() == b"".join(pieces)
    torn = whole[: -min(cut, len(members[-1]) - 1)]
    with pytest.raises(FileRefused, match="missing"):
        gunzipped(Pieces(torn, size), LIMITS).read()


@given(data=st.binary(max_size=80), at=st.integers(0, 60), bit=st.integers(0, 7))
def test_damaged_gzip_is_refused_or_gives_what_was_in_it(data: bytes, at: int, bit: int) -> None:
    damaged = bytearray(gzip.compress(data))
    damaged[at % len(damaged)] ^= 1 << bit
    try:
        assert gunzipped(io.BytesIO(bytes(damaged)), LIMITS).read() == data
    except FileRefused as refused:
        what = refused.what
    else:
        return
    assert what in ("broken_gzip", "torn_gzip")


@given(data=parts(JSON_PARTS + CSV_PARTS + MAGIC), extension=st.sampled_from(ENDINGS), packed=st.booleans())
def test_a_file_of_any_bytes_is_read_or_refused(data: bytes, extension: str, packed: bool) -> None:
    file = io.BytesIO(gzip.compress(data) if packed else data)
    found, refused = outcome(
        lambda opened, limits: read_records(opened, extension=extension, limits=limits, keep_good=True), file
    )
    assert found or refused


def honest_parquet() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"prompt": f"Why {number}?", "turns": [{"role": "user", "content": "가" * number}]} for number in range(50)]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink, row_group_size=20)
    return sink.getvalue()


PARQUET = honest_parquet()


@pytest.mark.slow
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(at=st.integers(4, len(PARQUET) - 9), new=st.binary(min_size=1, max_size=8), cut=st.none() | st.integers(1, 300))
def test_damaged_parquet_is_read_or_refused(at: int, new: bytes, cut: int | None) -> None:
    damaged = PARQUET[:at] + new + PARQUET[at + len(new) :]
    data = damaged[:-cut] if cut else damaged
    found, refused = outcome(
        lambda file, limits: read_records(file, extension=".parquet", keep_good=True), io.BytesIO(data)
    )
    assert found or refused
    sound(found)


@given(
    name=st.text(max_size=20)
    | st.sampled_from(["..", "a/../b", "/etc/passwd", "..\\x", "C:x", "가" * 86, "a\u202eb", "\ud800"])
)
def test_a_safe_name_stays_in_its_folder_and_fits(name: str) -> None:
    try:
        safe = safe_name(name)
    except NameRefused:
        return
    assert Path("/folder", safe).resolve() == Path("/folder") / safe
    assert Path("/folder", safe).parent == Path("/folder")
    assert len(safe.encode()) <= 255
    assert safe == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../a", "/etc/passwd", "a\\b", "C:a", "a\0b", "a\nb", "가" * 86, "x" * 256, "\ud83d"]
)
def test_an_unsafe_name_is_refused_with_why(name: str) -> None:
    with pytest.raises(NameRefused, match=r"Expected .*, found"):
        safe_name(name)


@pytest.mark.parametrize("name", ["data.jsonl", "대화 기록 (1).csv", "...", "x" * 255, "가" * 85, "👩‍👩‍👧.json"])
def test_an_honest_name_is_kept(name: str) -> None:
    assert safe_name(name) == name


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.jsonl", ("jsonl", False)), (".NDJSON.GZ", ("jsonl", True)), ("b.c.csv.gz", ("csv", True)),
     ("json", ("json", False))],
)  # fmt: skip
def test_the_ending_tells_what_a_file_announces(name: str, kind: tuple[str, bool]) -> None:
    assert kind_of(name) == kind
