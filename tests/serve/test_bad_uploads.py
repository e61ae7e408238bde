"""Each odd upload gets an answer in the error shape that names the part; no row and no file is left."""

import asyncio
import errno
import shutil
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from resources.store import Store
from resources.upload_files import FREE_BYTES
from serve.auth import Keys
from serve.limits import IngressLimits
from tests.serve.asgi_call import AsgiCall
from tests.serve.test_datasets_api import ALPACA, PATH, send

pytestmark = pytest.mark.anyio

BOUNDARY = "XoX"
KIND = f"multipart/form-data; boundary={BOUNDARY}"


def part(name: str, data: bytes, file_name: str | None = None) -> bytes:
    head = f'Content-Disposition: form-data; name="{name}"' + (f'; filename="{file_name}"' if file_name else "")
    return f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + data + b"\r\n"


NAMED = part("name", b"n") + part("version", b"1")
FILE = part("file", ALPACA, "a.jsonl")
END = f"--{BOUNDARY}--\r\n".encode()

# body, status, param
BODIES: dict[str, tuple[bytes, int, str | None]] = {
    "no file": (NAMED + END, 422, "file"),
    "a file part without a file name": (NAMED + part("file", b"{}") + END, 422, "file"),
    "two files": (NAMED + FILE + FILE + END, 422, "file"),
    "no name": (part("version", b"1") + FILE + END, 422, "name"),
    "no version": (part("name", b"n") + FILE + END, 422, "version"),
    "a part twice": (NAMED + part("name", b"m") + FILE + END, 422, "name"),
    "an unknown part": (NAMED + part("colour", b"red") + FILE + END, 422, "colour"),
    "an empty file": (NAMED + part("file", b"", "a.jsonl") + END, 422, "file"),
    "a part of 70 KB": (NAMED + part("tags", b"a" * 70_000) + FILE + END, 422, "tags"),
    "a part that is no UTF-8": (part("name", b"\xff") + part("version", b"1") + FILE + END, 422, "name"),
    "a NUL in the name": (part("name", b"a\0b") + part("version", b"1") + FILE + END, 422, "name"),
    "an unknown format": (NAMED + part("format", b"excel") + FILE + END, 422, "format"),
    "an unknown kind": (NAMED + part("kind", b"silver") + FILE + END, 422, "kind"),
    "an odd tag": (NAMED + part("tags", b"a b!") + FILE + END, 422, "tags[0]"),
    "metadata that is no JSON": (NAMED + part("dataset_metadata", b"{") + FILE + END, 422, "dataset_metadata"),
    "metadata that is a list": (NAMED + part("dataset_metadata", b"[]") + FILE + END, 422, "dataset_metadata"),
    "metadata with a NUL": (NAMED + part("dataset_metadata", b'{"a":"\\u0000"}') + FILE + END, 422, "dataset_metadata"),
    "deep metadata": (
        NAMED + part("dataset_metadata", b'{"a":' * 9000 + b"1" + b"}" * 9000) + FILE + END,
        422,
        "dataset_metadata",
    ),
    "metadata of 900 levels, which no list could show": (
        NAMED + part("dataset_metadata", b'{"a":' * 900 + b"1" + b"}" * 900) + FILE + END,
        422,
        "dataset_metadata",
    ),
    "metadata with a key twice": (
        NAMED + part("dataset_metadata", b'{"a": 1, "a": 2}') + FILE + END,
        422,
        "dataset_metadata",
    ),
    "metadata with NaN": (NAMED + part("dataset_metadata", b'{"a": NaN}') + FILE + END, 422, "dataset_metadata"),
    "a mapping to nothing": (NAMED + part("mapping", b'{"colour": "x"}') + FILE + END, 422, "mapping.colour"),
    "a path as file name": (NAMED + part("file", ALPACA, "../../etc/a.jsonl") + END, 422, "file"),
    "an absolute file name": (NAMED + part("file", ALPACA, "/tmp/a.jsonl") + END, 422, "file"),
    "a file name of 300 bytes": (NAMED + part("file", ALPACA, "가" * 100 + ".jsonl") + END, 422, "file"),
    "a file name of 9,000 bytes": (NAMED + part("file", ALPACA, "a" * 9000 + ".jsonl") + END, 400, None),
    "an unknown extension": (NAMED + part("file", ALPACA, "a.xlsx") + END, 422, "file"),
    "no extension": (NAMED + part("file", ALPACA, "data") + END, 422, "file"),
    "two compressions": (NAMED + part("file", ALPACA, "a.jsonl.gz.gz") + END, 422, "file"),
    "cut off in the file": (NAMED + FILE[:-9], 400, None),
    "cut off before the end": (NAMED + FILE, 400, None),
    "no multipart at all": (b"hello", 400, None),
    "an empty body": (b"", 400, None),
}


async def test_each_bad_body_is_refused_and_leaves_nothing(
    client: httpx.AsyncClient, store: Store, tmp_path: Path
) -> None:
    for name, (body, status, param) in BODIES.items():
        answer = await client.post(PATH, content=body, headers={"content-type": KIND})
        assert (answer.status_code, answer.json()["error"]["param"]) == (status, param), f"{name}: {answer.text}"
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}, name
        assert "What is" not in answer.text, name
        check_nothing_left(store, tmp_path)


HEADERS = {
    "no content type": ({}, 415),
    "JSON": ({"content-type": "application/json"}, 415),
    "no boundary": ({"content-type": "multipart/form-data"}, 400),
    "an endless boundary": ({"content-type": "multipart/form-data; boundary=" + "x" * 500}, 400),
    "an encoded body": ({"content-type": KIND, "content-encoding": "gzip"}, 415),
}


async def test_a_body_of_another_kind_is_refused(client: httpx.AsyncClient, store: Store, tmp_path: Path) -> None:
    for name, (headers, status) in HEADERS.items():
        answer = await client.post(PATH, content=NAMED + FILE + END, headers=headers)
        assert answer.status_code == status, f"{name}: {answer.text}"
        check_nothing_left(store, tmp_path)


SMALL = {"limits": IngressLimits(upload_bytes=1000)}


@pytest.mark.parametrize("changes", [SMALL])
async def test_a_file_over_the_limit_is_refused_while_it_is_read(
    api: Any, store: Store, tmp_path: Path, changes: Any
) -> None:
    head = NAMED + f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'.encode()
    call = AsgiCall(api, "POST", PATH, [head, *[b"x" * 600] * 1000], {"content-type": KIND})
    await call.task

    assert (call.status, call.read) == (413, 3)
    check_nothing_left(store, tmp_path)


@pytest.mark.parametrize("changes", [SMALL])
async def test_a_body_that_announces_too_much_is_not_read(api: Any, store: Store, tmp_path: Path, changes: Any) -> None:
    call = AsgiCall(api, "POST", PATH, [b"x"], {"content-type": KIND, "content-length": str(10**9)})
    await call.task

    assert (call.status, call.read) == (413, 0)


async def test_a_body_larger_than_it_said_is_refused(api: Any, store: Store, tmp_path: Path) -> None:
    call = AsgiCall(api, "POST", PATH, [NAMED, FILE, END], {"content-type": KIND, "content-length": "10"})
    await call.task

    assert (call.status, call.read) == (400, 1)
    check_nothing_left(store, tmp_path)


async def test_a_client_that_hangs_up_leaves_nothing_behind(api: Any, store: Store, tmp_path: Path) -> None:
    big = NAMED + part("file", b"x" * 3 * 2**20, "a.csv")
    call = AsgiCall(api, "POST", PATH, [big[i : i + 2**20] for i in range(0, len(big), 2**20)], {"content-type": KIND})
    call._chunks.append(b"")  # more would come
    call.leave()
    await call.task

    check_nothing_left(store, tmp_path)


async def test_who_stops_waiting_while_it_is_committed_leaves_row_and_file_or_neither(
    api: Any, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    add = store.uploads.add

    def slow(values: Any, place: Any) -> Any:
        begun.set()
        go_on.wait(5)
        return add(values, place)

    monkeypatch.setattr(store.uploads, "add", slow)
    call = AsgiCall(api, "POST", PATH, [NAMED, FILE, END], {"content-type": KIND})
    await asyncio.to_thread(begun.wait, 5)
    call.task.cancel()
    await asyncio.sleep(0.01)
    go_on.set()
    await asyncio.wait({call.task})

    assert store.uploads.page().total == 1
    assert (tmp_path / "uploads" / "1" / "data.jsonl").read_bytes() == ALPACA


@pytest.mark.parametrize("changes", [{"limits": IngressLimits(uploads=1)}])
async def test_one_upload_too_many_is_turned_away_unread(api: Any, client: httpx.AsyncClient, changes: Any) -> None:
    unfinished = AsgiCall(api, "POST", PATH, headers={"content-type": KIND})
    await asyncio.sleep(0.01)
    refused = AsgiCall(api, "POST", PATH, [FILE], {"content-type": KIND})
    await refused.task
    unfinished.leave()
    await unfinished.task

    assert (refused.status, refused.headers["retry-after"], refused.read) == (503, "1", 0)
    assert (await send(client)).status_code == 201


class Usage(NamedTuple):
    free: int


async def test_a_full_disk_is_said_plainly(
    client: httpx.AsyncClient, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda path: Usage(1000))
        before = await send(client)
    with monkeypatch.context() as patched:
        patched.setattr("resources.upload_files.os.fsync", full)
        during = await send(client)

    for answer in (before, during):
        assert (answer.status_code, answer.json()["error"]["code"]) == (507, "disk_full")
        assert str(tmp_path) not in answer.text
    check_nothing_left(store, tmp_path)


async def test_who_does_not_say_how_much_comes_may_not_fill_the_disk(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unannounced() -> AsyncIterator[bytes]:
        yield NAMED + FILE + END

    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(FREE_BYTES + IngressLimits().upload_bytes - 1))
    answer = await client.post(PATH, content=unannounced(), headers={"content-type": KIND})

    assert (answer.status_code, answer.json()["error"]["code"]) == (507, "disk_full")
    assert (await send(client)).status_code == 201


def check_nothing_left(store: Store, tmp_path: Path) -> None:
    assert store.uploads.page().total == 0
    assert [path for path in (tmp_path / "uploads").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("changes", [{"keys": Keys(enabled=True, api="chat-key", admin="admin-key")}])
async def test_without_the_admin_key_nothing_of_a_body_is_read(api: Any, changes: Any) -> None:
    for key, status in (("wrong", 401), ("chat-key", 403)):
        headers = {"content-type": KIND, "authorization": f"Bearer {key}"}
        call = AsgiCall(api, "POST", PATH, [NAMED, FILE, END], headers)
        await call.task
        assert (call.status, call.read) == (status, 0)
