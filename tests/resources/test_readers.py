"""Every kind of file a client may send: read, or refused with what, where and why; what is good is kept if asked."""

import csv
import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from resources.readers import read_records
from resources.records import USUAL_LIMITS, BadLine, FileRefused, Limits, Record

GOOD: dict[str, Any] = {"prompt": "왜 하늘은 파란가요?", "completion": "산란 때문입니다. 😀"}
OTHER: dict[str, Any] = {"prompt": "Why?", "completion": 'He said "so",\nand left.'}


def lines(*records: Any) -> bytes:
    return b"".join(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records)


def table(*records: Any, **options: Any) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(records[0]), **options)
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue().encode()


def parquet(records: list[dict[str, Any]], **options: Any) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = dict.fromkeys(key for record in records for key in record)
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([{**dict.fromkeys(columns), **record} for record in records]), sink, **options)
    return sink.getvalue()


def zipped(data: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("data.jsonl", data)
    return sink.getvalue()


def read(data: bytes, extension: str, limits: Limits = USUAL_LIMITS, keep_good: bool = False) -> list[Record | BadLine]:
    return list(read_records(io.BytesIO(data), extension=extension, limits=limits, keep_good=keep_good))


def values(found: list[Record | BadLine]) -> list[dict[str, Any]]:
    return [item.value for item in found if isinstance(item, Record)]


def places(found: list[Record | BadLine]) -> list[tuple[int, int, str]]:
    return [(item.line, item.column, item.rule) for item in found if isinstance(item, BadLine)]


FILES: dict[str, bytes] = {
    ".jsonl": lines(GOOD, OTHER),
    ".ndjson": lines(GOOD) + b"\r\n  \n" + lines(OTHER).rstrip(b"\n"),
    ".json": json.dumps([GOOD, OTHER], indent=2).encode(),
    ".csv": table(GOOD, OTHER),
    ".parquet": parquet([GOOD, OTHER]),
}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("extension", FILES)
def test_every_kind_of_file_gives_the_same_records(extension: str, compressed: bool) -> None:
    data = gzip.compress(FILES[extension]) if compressed else FILES[extension]
    assert values(read(data, f"{extension}.gz" if compressed else extension)) == [GOOD, OTHER]


def test_a_file_is_read_by_its_path_and_its_whole_name(tmp_path: Path) -> None:
    path = tmp_path / "Data.JSONL"
    path.write_bytes(lines(GOOD))
    assert list(read_records(path, extension=path.name)) == [Record(1, GOOD)]


# name | ending | content | rule | line
SPOILED: list[tuple[str, str, bytes, str, int]] = [
    ("no known ending", ".xlsx", lines(GOOD), "unknown_extension", 0),
    ("no ending", "", lines(GOOD), "unknown_extension", 0),
    ("an empty file", ".jsonl", b"", "empty_file", 0),
    ("white space alone", ".csv", b" \n\n", "empty_file", 0),
    ("an empty compressed file", ".jsonl.gz", b"", "empty_file", 0),
    ("compressed nothing", ".jsonl.gz", gzip.compress(b""), "empty_file", 0),
    ("an empty array", ".json", b"[]", "empty_file", 0),
    ("a header alone", ".csv", b"prompt,completion\n", "empty_file", 0),
    ("no row", ".parquet", parquet([GOOD])[:4] + b"", "broken_parquet", 0),
    ("an array as JSON lines", ".jsonl", FILES[".json"], "wrong_extension", 0),
    ("JSON lines as an array", ".json", FILES[".jsonl"], "wrong_extension", 0),
    ("JSON lines as CSV", ".csv", FILES[".jsonl"], "wrong_extension", 0),
    ("an object as CSV", ".csv", b'{"data": [1]}', "wrong_extension", 0),
    ("CSV as JSON lines", ".jsonl", FILES[".csv"], "wrong_extension", 0),
    ("CSV as JSON", ".json", FILES[".csv"], "wrong_extension", 0),
    ("Parquet as JSON lines", ".jsonl", FILES[".parquet"], "wrong_extension", 0),
    ("JSON lines as Parquet", ".parquet", FILES[".jsonl"], "wrong_extension", 0),
    ("gzip without saying so", ".jsonl", gzip.compress(lines(GOOD)), "wrong_extension", 0),
    ("no gzip though it says so", ".jsonl.gz", lines(GOOD), "wrong_extension", 0),
    ("gzip in gzip", ".jsonl.gz", gzip.compress(gzip.compress(lines(GOOD))), "wrong_extension", 0),
    ("a zip archive", ".jsonl", zipped(lines(GOOD)), "wrong_extension", 0),
    ("a zip archive as gzip", ".jsonl.gz", zipped(lines(GOOD)), "wrong_extension", 0),
    ("a zip archive in gzip", ".csv.gz", gzip.compress(zipped(lines(GOOD))), "wrong_extension", 0),
    ("UTF-16 with its mark", ".jsonl", '{"a": 1}\n'.encode("utf-16"), "not_utf8", 1),
    ("UTF-16 without", ".jsonl", '{"a": 1}\n'.encode("utf-16-le"), "not_utf8", 1),
    ("UTF-16, big end first", ".csv", "prompt,completion\n".encode("utf-16-be"), "not_utf8", 1),
    ("torn gzip", ".jsonl.gz", gzip.compress(lines(*[GOOD] * 1000))[:-20], "torn_gzip", 0),
    ("gzip without its checksum", ".jsonl.gz", gzip.compress(lines(GOOD))[:-8], "torn_gzip", 0),
    ("broken gzip", ".jsonl.gz", gzip.compress(lines(GOOD))[:-6] + b"\1\2\3\4\5\6", "broken_gzip", 0),
    ("rubbish after gzip", ".jsonl.gz", gzip.compress(lines(GOOD)) + b"rubbish", "broken_gzip", 0),
    ("a bomb", ".jsonl.gz", gzip.compress(b" " * (32 << 20)), "decompression_bomb", 0),
    ("torn Parquet", ".parquet", FILES[".parquet"][:-9], "broken_parquet", 0),
    ("Parquet without a middle", ".parquet", b"PAR1" + b"\0" * 100 + b"PAR1", "broken_parquet", 0),
    ("the same key twice around the array", ".json", b'{"a": 1, "a": [{}]}', "duplicate_key", 1),
    ("two arrays", ".json", b'{"a": [{}],\n "b": [{}]}', "several_arrays", 2),
    ("no array", ".json", b'{"a": 1}', "no_array", 0),
    ("an unfinished array", ".json", b'[{"a": 1},\n {"b": 2}', "invalid_json", 2),
    ("an array torn in a text", ".json", b'[{"a": "x', "invalid_json", 1),
    ("an array with a comma too many", ".json", b'[{"a": 1},]', "invalid_json", 1),
    ("more after the array", ".json", b"[{}]\n[{}]", "invalid_json", 2),
    ("an array of 10,000 levels", ".json", b"[" * 10_000 + b"]" * 10_000, "too_deep", 1),
    ("a column twice", ".csv", b"a,b,a\n1,2,3\n", "duplicate_column", 1),
    ("a column without a name", ".csv", b"a,,b\n1,2,3\n", "invalid_header", 1),
    ("a header with an open quote", ".csv", b'a,"b\n1,2\n', "unbalanced_quotes", 1),
    ("a header that is no UTF-8", ".csv", b"a,\xff\n1,2\n", "invalid_utf8", 1),
    ("a header that runs", ".csv", b"=cmd|' /C calc'!A0,b\n1,2\n", "invalid_header", 1),
]  # fmt: skip


@pytest.mark.parametrize(("extension", "data", "rule", "line"), [s[1:] for s in SPOILED], ids=[s[0] for s in SPOILED])
@pytest.mark.parametrize("keep_good", [False, True])
def test_a_spoiled_file_is_refused_with_what_where_and_why(
    extension: str, data: bytes, rule: str, line: int, keep_good: bool
) -> None:
    with pytest.raises(FileRefused) as refused:
        read(data, extension, keep_good=keep_good)
    assert (refused.value.what, refused.value.line) == (rule, line)
    assert "xpected" in refused.value.message


A, B = lines(GOOD), lines(OTHER)
ABOVE, BELOW = table(GOOD), table(OTHER).partition(b"\n")[2]
NAN = b'{"prompt": "a", "completion": NaN}\n'
DEEP = b"[" * 33 + b"]" * 33
TWICE = b'{"prompt": "a", "prompt": "b"}\n'

# name | ending | content | (line, column, rule) of what is bad; what is good is GOOD and OTHER
PARTLY: list[tuple[str, str, bytes, list[tuple[int, int, str]]]] = [
    ("a torn last line", ".jsonl", A + B + b'{"prompt": "tor', [(3, 12, "torn_last_line")]),
    ("a line that is no JSON", ".jsonl", A + b"rubbish\n" + B, [(2, 1, "invalid_json")]),
    ("a line that is a list", ".jsonl", A + b"[1]\n" + B, [(2, 1, "not_an_object")]),
    ("NaN", ".jsonl", A + NAN + B, [(2, 31, "not_a_number")]),
    ("Infinity", ".jsonl", A + b'{"a": -Infinity}\n' + B, [(2, 7, "not_a_number")]),
    ("a huge integer", ".jsonl", A + b'{"a": ' + b"9" * 5000 + b"}\n" + B, [(2, 7, "number_too_long")]),
    ("a number beyond a double", ".jsonl", A + b'{"a": 1e999}\n' + B, [(2, 7, "number_too_large")]),
    ("the same key twice", ".jsonl", A + TWICE + B, [(2, 17, "duplicate_key")]),
    ("invalid UTF-8", ".jsonl", A + b'{"prompt": "\xff"}\n' + B, [(2, 13, "invalid_utf8")]),
    ("UTF-8 of a surrogate", ".jsonl", A + b'{"prompt": "\xed\xa0\x80"}\n' + B, [(2, 13, "invalid_utf8")]),
    ("a NUL byte", ".jsonl", A + b'{"prompt": "\0"}\n' + B, [(2, 13, "nul")]),
    ("an escaped NUL", ".jsonl", A + b'{"prompt": "\\u0000"}\n' + B, [(2, 13, "nul")]),
    ("a lone surrogate", ".jsonl", A + b'{"prompt": "\\ud800"}\n' + B, [(2, 13, "lone_surrogate")]),
    ("10,000 levels", ".jsonl", A + b'{"a":' * 10_000 + b"}" * 10_000 + b"\n" + B, [(2, 161, "too_deep")]),
    ("bad lines in gzip", ".jsonl.gz", gzip.compress(A + b"{\n" + B + b"[]\n"),
     [(2, 2, "invalid_json"), (4, 1, "not_an_object")]),
    ("NaN in an array", ".json", b"[" + A.strip() + b",\n" + NAN + b"," + B + b"]", [(2, 31, "not_a_number")]),
    ("a key twice over lines", ".json", b"[" + A + b',{"a": 1,\n  "a": 2},' + B + b"]", [(3, 3, "duplicate_key")]),
    ("invalid UTF-8 in an array", ".json", b"[" + A + b',{"a": "\xff"},' + B + b"]", [(2, 9, "invalid_utf8")]),
    ("a NUL in an array", ".json", b"[" + A + b',{"a": "\\u0000"},' + B + b"]", [(2, 9, "nul")]),
    ("half a character in an array", ".json", b"[" + A + b',{"a": "\\udc00"},' + B + b"]", [(2, 9, "lone_surrogate")]),
    ("a number in an array", ".json", b'{"n": 1, "data": [' + A + b",7, " + B + b"]}", [(2, 2, "not_an_object")]),
    ("33 levels in an array", ".json", b"[" + A + b"," + DEEP + b"," + B + b"]", [(2, 34, "too_deep")]),
    ("a formula", ".csv", ABOVE + b"x,=cmd|' /C calc'!A0\r\n" + BELOW, [(3, 2, "csv_formula")]),
    ("a call", ".csv", ABOVE + b'"@SUM(1,2)",y\r\n' + BELOW, [(3, 1, "csv_formula")]),
    ("too few fields", ".csv", ABOVE + b"alone\r\n" + BELOW, [(3, 1, "columns")]),
    ("too many fields", ".csv", ABOVE + b"a,b,c\r\n" + BELOW, [(3, 2, "columns")]),
    ("a NUL in CSV", ".csv", ABOVE + b"a,\0\r\n" + BELOW, [(3, 2, "nul")]),
    ("invalid UTF-8 in CSV", ".csv", ABOVE + b"a,\xff\r\n" + BELOW, [(3, 0, "invalid_utf8")]),
    ("a quote within quotes", ".csv", ABOVE + b'a,"b"c\r\n' + BELOW,
     [(3, 0, "unbalanced_quotes")]),
    ("a quote left open", ".csv", table(OTHER, GOOD) + b'a,"b\r\n', [(5, 0, "unbalanced_quotes")]),
    ("a carriage return alone", ".csv", ABOVE + b"a\rb,c\r\n" + BELOW, [(3, 0, "line_end")]),
    ("NaN in Parquet", ".parquet", parquet([GOOD, {**GOOD, "n": float("nan")}, OTHER]), [(2, 0, "not_a_number")]),
    ("bytes in Parquet", ".parquet", parquet([GOOD, {**GOOD, "n": b"\xff"}, OTHER]), [(2, 0, "not_text")]),
    ("a NUL in Parquet", ".parquet", parquet([GOOD, {"prompt": "a\0", "completion": "b"}, OTHER]), [(2, 0, "nul")]),
]  # fmt: skip


@pytest.mark.parametrize(("extension", "data", "bad"), [p[1:] for p in PARTLY], ids=[p[0] for p in PARTLY])
def test_good_records_are_kept_if_asked_and_bad_ones_named_with_their_place(
    extension: str, data: bytes, bad: list[tuple[int, int, str]]
) -> None:
    found = read(data, extension, keep_good=True)
    assert places(found) == bad
    told = " ".join(item.message for item in found if isinstance(item, BadLine))
    assert not {"calc", "rubbish", "SUM", "tor"} & set(told.split()), "a message repeats no text of the file"
    kept = [{key: value for key, value in record.items() if key in GOOD} for record in values(found)]
    assert sorted(kept, key=str) == sorted([GOOD, OTHER], key=str)
    with pytest.raises(FileRefused) as refused:
        read(data, extension)
    assert (refused.value.line, refused.value.column, refused.value.what) == bad[0]


def test_after_a_quote_left_open_the_records_behind_it_are_read() -> None:
    data = ABOVE + b'a,"open\r\n' + BELOW.replace(b'""', b"'")
    found = read(data, ".csv", keep_good=True)
    assert (3, 0, "unbalanced_quotes") in places(found)
    assert values(found)[0] == GOOD


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_csv_of_every_spreadsheet_is_read(delimiter: str, mark: bytes, ending: str) -> None:
    data = mark + table(GOOD, OTHER, delimiter=delimiter, lineterminator=ending)
    assert values(read(data, ".csv")) == [GOOD, OTHER]


@pytest.mark.parametrize("text", ["- Python (프로그래밍 언어)은", "=> 다음과 같습니다", "== 제목 ==",
                                  "-1 degrees", "+82 10", "@ada, hi", "- item", "a = b", "+ yes",
                                  "-x + (y)", "-Word (한글)", "-Word (한글)은 그렇다", "@ada (아다) 님",
                                  "+Plan (제2안, 예비)"])  # fmt: skip
def test_honest_text_is_no_formula(text: str) -> None:
    assert values(read(table({"a": text, "b": "c"}), ".csv")) == [{"a": text, "b": "c"}]


def test_a_byte_order_mark_is_no_part_of_the_first_key() -> None:
    mark = b"\xef\xbb\xbf"
    assert values(read(mark + A + mark + B, ".jsonl")) == [GOOD, OTHER]
    assert values(read(mark + FILES[".json"], ".json")) == [GOOD, OTHER]


def test_an_object_of_keys_without_end_is_refused_before_they_fill_the_memory() -> None:
    data = json.dumps({**{f"k{n}": 0 for n in range(6)}, "data": [GOOD]}).encode()
    with pytest.raises(FileRefused) as refused:
        read(data, ".json", USUAL_LIMITS._replace(columns=5))
    assert refused.value.what == "too_many_columns"


@pytest.mark.parametrize("text", ["- SUM (1,2)", "-SUM(1)", "=1+1", "= A1", "@SUM(1)", "+cmd|' /C calc'!A0", "- A!B1",
                                  "-SUM(한글)", "-SUM (1)", "+cmd |'한'!A0", "=Word (한글)", "-SUM (시트!A1)",
                                  '-HYPERLINK ("http://x","클릭")', "-SUM (" + "1" * 300 + "한)"])  # fmt: skip
def test_what_a_spreadsheet_would_run_is_no_text(text: str) -> None:
    assert places(read(table({"a": text, "b": "c"}), ".csv", keep_good=True)) == [(2, 1, "csv_formula")]


def test_the_array_may_stand_in_an_object_with_other_values() -> None:
    data = json.dumps({"version": 1, "meta": {"a": {}}, "data": [GOOD, OTHER], "end": None}).encode()
    assert values(read(data, ".json")) == [GOOD, OTHER]


SMALL = USUAL_LIMITS._replace(record_bytes=1000, records=3, columns=5)


@pytest.mark.parametrize(
    ("extension", "data", "place"),
    [
        (".jsonl", A + b'{"a": "' + b"x" * 600_000 + b'"}\n' + B, (2, 1001, "line_too_long")),
        (".jsonl", b'{"a": "' + b"x" * 600_000 + b'"}\n' + A + B, (1, 1001, "line_too_long")),
        (".jsonl", A + B + b"x" * 5000, (3, 1001, "line_too_long")),
        (".csv", ABOVE + b"a," + b"x" * 5000 + b"\r\n" + BELOW, (3, 0, "line_too_long")),
        (".csv", table(GOOD, OTHER) + b'a,"' + b"x\r\n" * 900, (5, 0, "record_too_long")),
        (".parquet", parquet([GOOD, {"prompt": "a", "completion": "x" * 5000}, OTHER]), (2, 0, "line_too_long")),
    ],
)  # fmt: skip
def test_a_record_too_long_spoils_only_itself(extension: str, data: bytes, place: tuple[int, int, str]) -> None:
    limits = SMALL._replace(records=2000)
    found = read(data, extension, limits, keep_good=True)
    assert place in places(found)
    assert [record for record in values(found) if record in (GOOD, OTHER)] == [GOOD, OTHER]


def test_a_record_too_long_in_an_array_ends_the_reading() -> None:
    data = json.dumps([GOOD, {"a": "x" * 600_000}, OTHER]).encode()
    with pytest.raises(FileRefused, match=r"line 1, column \d+: expected at most 1000"):
        read(data, ".json", SMALL, keep_good=True)


@pytest.mark.parametrize("extension", FILES)
def test_more_records_than_allowed_are_refused(extension: str) -> None:
    with pytest.raises(FileRefused) as refused:
        read(FILES[extension], extension, SMALL._replace(records=1))
    assert refused.value.what == "too_many_records"


@pytest.mark.parametrize("extension", [".jsonl", ".csv"])
def test_more_lines_than_allowed_are_refused_though_they_are_blank(extension: str) -> None:
    with pytest.raises(FileRefused) as refused:
        read(FILES[extension] + b"\n" * 300, extension, SMALL._replace(lines=100))
    assert refused.value.what == "too_many_lines"


def test_a_file_over_its_size_is_refused_before_it_is_read() -> None:
    with pytest.raises(FileRefused) as refused:
        read(A * 100, ".jsonl", SMALL._replace(file_bytes=100))
    assert refused.value.what == "file_too_large"


@pytest.mark.parametrize("extension", [".csv", ".parquet"])
def test_more_columns_than_allowed_are_refused(extension: str) -> None:
    wide = {f"c{number}": "x" for number in range(6)}
    with pytest.raises(FileRefused) as refused:
        read(table(wide) if extension == ".csv" else parquet([wide]), extension, SMALL)
    assert refused.value.what == "too_many_columns"


def test_csv_that_opens_quotes_at_every_line_is_given_up_in_time() -> None:
    data = b"a,b\n" + b'x,"y\nz,w\n' * 20_000
    with pytest.raises(FileRefused) as refused:
        read(data, ".csv", USUAL_LIMITS._replace(record_bytes=10_000), keep_good=True)
    assert refused.value.what == "unbalanced_quotes"


def test_a_reader_that_is_killed_leaves_no_copy_of_a_parquet_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aside = tmp_path / "aside"
    aside.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(aside))
    (tmp_path / "a.parquet").write_bytes(FILES[".parquet"])
    records = read_records(tmp_path / "a.parquet", extension=".parquet")

    assert next(records) == Record(1, GOOD)
    assert list(aside.iterdir()) == []
