"""Every hostile file of an upload is refused with what, where and why; no row, no file, and no conversation is left."""

import gzip
import io
import json
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resources.store import Store
from tests.serve.test_bad_uploads import check_nothing_left
from tests.serve.test_dataset_work_api import GOOD, lines
from tests.serve.test_datasets_api import PATH, send

pytestmark = pytest.mark.anyio

LINES = lines(GOOD)
HIDDEN = "sEcReT"


def parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(GOOD), file)
    return file.getvalue()


def line(data: bytes) -> bytes:
    return LINES + data + b"\n" + LINES


PARQUET = parquet()
CSV = b"instruction,output\nWhy?,Because.\n"
KOREAN_LINE = '{"instruction": "프린터가 멈췄어요", "output": "전원을 켜 주세요"}\n'
KOREAN_CSV = "instruction,output\n프린터가 멈췄어요,전원을 켜 주세요\n"
# file name, bytes, rule, what the message names
FILES: dict[str, tuple[str, bytes, str, str]] = {
    "JSON lines under .json": ("a.json", LINES, "wrong_extension", "json"),
    "Parquet under .jsonl": ("a.jsonl", PARQUET, "wrong_extension", "Parquet"),
    "JSON under .csv": ("a.csv", LINES, "wrong_extension", "csv"),
    "text under .parquet": ("a.parquet", LINES, "wrong_extension", "parquet"),
    "text under .gz": ("a.jsonl.gz", LINES, "wrong_extension", "gzip"),
    "a program": ("a.jsonl", b"\x7fELF" + b"\0" * 99, "wrong_extension", "a program"),
    "a zip archive": ("a.csv", b"PK\x03\x04" + b"\0" * 99, "wrong_extension", "a zip archive"),
    "blank lines alone": ("a.jsonl", b" \n\n  \n", "empty_file", "at least one record"),
    "an empty array": ("a.json", b"[]", "empty_file", "at least one record"),
    "a header alone": ("a.csv", b"instruction,output\n", "empty_file", "at least one record"),
    "an empty gzip": ("a.jsonl.gz", gzip.compress(b""), "empty_file", "at least one record"),
    "a torn last line": ("a.jsonl", LINES + b'{"instruction": "x', "torn_last_line", "line 4"),
    "a torn array": ("a.json", b'[{"instruction": "q", "output": "a"}, {"instr', "", ""),
    "a torn gzip": ("a.jsonl.gz", gzip.compress(LINES * 50)[:-20], "", ""),
    "a broken Parquet": ("a.parquet", PARQUET[:40] + b"\xff" * 60 + PARQUET[100:], "", ""),
    "half a Parquet": ("a.parquet", PARQUET[: len(PARQUET) // 2], "", ""),
    "a gzip bomb": ("a.jsonl.gz", gzip.compress(b" " * 2**20, 9) * 300, "", ""),
    "deep JSON": ("a.jsonl", line(b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}"), "too_deep", "line 4"),
    "a deep array": ("a.json", b"[" * 10_000 + b"]" * 10_000, "", ""),
    "invalid UTF-8": ("a.jsonl", line(b'{"instruction": "\xff\xfe", "output": "a"}'), "", "line 4"),
    "UTF-16": ("a.jsonl", LINES.decode().encode("utf-16"), "not_utf8", "UTF-8"),
    "a lone surrogate": ("a.jsonl", line(b'{"instruction": "\\ud800", "output": "a"}'), "", "line 4"),
    "a key twice": ("a.jsonl", line(b'{"output": "sEcReT", "output": "b"}'), "", "line 4"),
    "NaN": ("a.jsonl", line(b'{"instruction": NaN, "output": "sEcReT"}'), "", "line 4"),
    "a list as a line": ("a.jsonl", line(b'["sEcReT"]'), "not_an_object", "line 4"),
    "a CSV formula": ("a.csv", CSV + b'"=HYPERLINK(""http://x"",""sEcReT"")",a\n', "", "line 3"),
    "a CSV row too long": ("a.csv", CSV + b"a,b,sEcReT\n", "", "line 3"),
    "a CSV that a Korean spreadsheet wrote": (
        "상담.csv",
        KOREAN_CSV.encode("cp949"),
        "invalid_utf8",
        "save the text as UTF-8",
    ),
    "lines that are all in another encoding": ("a.jsonl", KOREAN_LINE.encode("cp949") * 2, "invalid_utf8", "line 1"),
    "NaN in every line": ("a.jsonl", b'{"instruction": NaN, "output": "sEcReT"}\n', "not_a_number", "line 1"),
    "no known columns": ("a.jsonl", b'{"colour": "sEcReT"}\n' * 3, "unknown_format", "name the format"),
}


async def test_each_hostile_file_is_refused_and_leaves_nothing(
    client: httpx.AsyncClient, store: Store, tmp_path: Path
) -> None:
    for case, (name, data, rule, named) in FILES.items():
        answer = await send(client, data, name)
        error = answer.json()["error"]
        expected = (422, "file", "invalid_request_error")
        assert (answer.status_code, error["param"], error["type"]) == expected, f"{case}: {answer.text}"
        assert error["code"] == (rule or error["code"]), case
        assert error["code"] not in (None, "internal_error"), case
        assert named in error["message"], f"{case}: {answer.text}"
        assert HIDDEN not in answer.text, case
        assert str(tmp_path) not in answer.text, case
        check_nothing_left(store, tmp_path)


async def test_a_nul_in_a_text_is_a_bad_sample_and_no_accident(client: httpx.AsyncClient) -> None:
    await send(client, line(b'{"instruction": "a\\u0000b", "output": "c"}'), skip_invalid="true")
    found = (await client.post(f"{PATH}/1/validate")).json()

    assert [one["line"] for one in found["findings"] if one["rule"] != "duplicate"][:1] == [4]


@pytest.mark.parametrize(("name", "data"), [("a.jsonl", line(b"{torn")), ("a.csv", CSV + b"a,b,c\n")])
async def test_the_good_lines_are_kept_when_asked_and_both_are_counted(
    client: httpx.AsyncClient, name: str, data: bytes
) -> None:
    assert (await send(client, data, name)).status_code == 422
    kept = await send(client, data, name, skip_invalid="true")

    assert kept.status_code == 201
    stats = (await client.get(f"{PATH}/{kept.json()['id']}/stats")).json()
    assert stats["invalid_samples"] == 1
    assert stats["total_samples"] >= 1


@pytest.mark.slow
async def test_a_line_of_50_mb_is_refused(client: httpx.AsyncClient, store: Store, tmp_path: Path) -> None:
    answer = await send(client, line(json.dumps({"instruction": "x" * 50 * 2**20, "output": "y"}).encode()))

    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "line_too_long")
    check_nothing_left(store, tmp_path)


GOOD_FILES: dict[str, tuple[str, bytes]] = {
    "lines": ("a.jsonl", LINES),
    "an array": ("a.json", json.dumps(GOOD).encode()),
    "CSV": ("a.csv", CSV),
    "Parquet": ("a.parquet", PARQUET),
    "lines in gzip": ("a.jsonl.gz", gzip.compress(LINES)),
    "CSV in gzip": ("a.CSV.GZ", gzip.compress(CSV)),
}


async def test_every_kind_of_file_is_read(client: httpx.AsyncClient) -> None:
    for number, (case, (name, data)) in enumerate(GOOD_FILES.items()):
        made = await send(client, data, name, version=str(number))
        assert (made.status_code, made.json()["format"]) == (201, "alpaca"), f"{case}: {made.text}"
        assert (await client.post(f"{PATH}/{made.json()['id']}/validate")).json()["is_valid"] is True, case


async def test_columns_of_other_names_are_mapped(client: httpx.AsyncClient) -> None:
    data = b"question,answer\nWhy does it blink?,The drum is at its end.\n"
    assert (await send(client, data, "a.csv")).status_code == 422
    mapping: dict[str, Any] = {"instruction": "question", "output": "answer"}
    made = await send(client, data, "a.csv", mapping=json.dumps(mapping))

    assert (made.status_code, made.json()["mapping"]) == (201, mapping)
    assert (await client.post(f"{PATH}/1/validate")).json()["valid"] == 1


async def test_duplicates_in_an_array_on_one_line_are_found_and_told_apart(client: httpx.AsyncClient) -> None:
    same = {"instruction": "Why does it blink?", "output": "The drum is at its end."}
    await send(client, json.dumps([same, same]).encode(), "a.json")
    found = (await client.post(f"{PATH}/1/validate")).json()

    assert (found["is_valid"], found["duplicates"]["exact"]) == (False, 1)
    (second,) = found["findings"]
    assert (second["rule"], second["line"], second["column"]) == ("duplicate", 1, len(json.dumps([same])) + 2)
    assert "line 1, column 2" in second["message"]
