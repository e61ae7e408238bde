"""Uploaded datasets over HTTP: received, listed, described, deleted."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from resources.store import Store

pytestmark = pytest.mark.anyio

PATH = "/api/v1/admin/training/datasets"
ALPACA = b"".join(
    json.dumps({"instruction": f"What is {n}?", "input": "", "output": f"It is {n}."}).encode() + b"\n"
    for n in range(3)
)


async def send(
    client: httpx.AsyncClient, data: bytes = ALPACA, file_name: str = "set.jsonl", **parts: str
) -> httpx.Response:
    fields = {"name": "support", "version": "1.0.0", **parts}
    return await client.post(PATH, data=fields, files={"file": (file_name, data)})


async def sent(client: httpx.AsyncClient, data: bytes = ALPACA, file_name: str = "set.jsonl", **parts: str) -> Any:
    answer = await send(client, data, file_name, **parts)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_an_upload_is_described_field_by_field_as_the_contract_has_it(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    made = await sent(client, format="alpaca", tags="a, b", dataset_metadata='{"who": "나"}')

    agreed = ["id", "name", "version", "format", "status", "total_samples", "avg_instruction_length",
              "avg_output_length", "quality_score", "tags", "dataset_metadata", "created_at", "updated_at"]  # fmt: skip
    assert list(made)[: len(agreed)] == agreed
    expected = {"id": 1, "name": "support", "version": "1.0.0", "format": "alpaca", "status": "uploaded",
                "tags": ["a", "b"], "dataset_metadata": {"who": "나"}, "kind": "training"}  # fmt: skip
    assert {name: made[name] for name in expected} == expected
    assert datetime.fromisoformat(made["created_at"]).tzinfo is not None
    assert (tmp_path / "uploads" / "1" / "data.jsonl").read_bytes() == ALPACA
    assert (await client.get(f"{PATH}/1")).json() == made
    assert str(tmp_path) not in json.dumps(made)


async def test_the_parts_may_come_after_the_file_and_in_any_order(client: httpx.AsyncClient) -> None:
    parts = [("file", ("a.csv", b"instruction,output\nq,a\n")), ("version", (None, b"v2")), ("name", (None, b"late"))]
    answer = await client.post(PATH, files=parts)

    assert answer.status_code == 201, answer.text
    assert (answer.json()["name"], answer.json()["version"]) == ("late", "v2")


async def test_pages_and_filters(client: httpx.AsyncClient) -> None:
    for name in ("one", "two", "three"):
        await sent(client, name=name, tags=f"all,{name}")
    await client.delete(f"{PATH}/2")

    async def names(**query: Any) -> list[str]:
        page = (await client.get(PATH, params=query)).json()
        assert set(page) == {"items", "page", "page_size", "total"}
        return [item["name"] for item in page["items"]]

    assert await names() == ["three", "one"]
    assert await names(page=2, page_size=1) == ["one"]
    assert await names(search="ON") == ["one"]
    assert await names(tags="all,three") == ["three"]
    assert await names(status="deleted") == ["two"]
    assert await names(kind="golden") == []


async def test_a_description_can_be_changed_and_the_figures_cannot(client: httpx.AsyncClient) -> None:
    await sent(client)
    changed = await client.patch(f"{PATH}/1", json={"tags": ["new"], "dataset_metadata": {"a": 1}, "status": "invalid"})

    assert changed.status_code == 200
    assert (changed.json()["tags"], changed.json()["dataset_metadata"]) == (["new"], {"a": 1})
    assert changed.json()["status"] == "invalid"
    for body in ({"total_samples": 9}, {"status": "validated"}, {"kind": "golden"}, {}):
        assert (await client.patch(f"{PATH}/1", json=body)).status_code == 422, body


async def test_deleting_takes_the_file_and_keeps_the_row(client: httpx.AsyncClient, tmp_path: Path) -> None:
    await sent(client)
    answer = await client.delete(f"{PATH}/1")

    assert (answer.status_code, answer.content) == (204, b"")
    assert not (tmp_path / "uploads" / "1").exists()
    assert (await client.get(f"{PATH}/1")).json()["status"] == "deleted"
    refused = await client.patch(f"{PATH}/1", json={"tags": []})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "not_allowed")
    assert (await client.delete(f"{PATH}/1")).status_code == 204


async def test_an_unknown_number_is_not_found(client: httpx.AsyncClient) -> None:
    for id in ("7", "0", "-1", str(10**30), str(2**63)):
        for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/stats")):
            answer = await client.request(method, f"{PATH}/{id}{path}")
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found"), (id, method, path)
    assert (await client.get(f"{PATH}/seven")).status_code == 422


async def test_the_page_of_the_api_shows_the_parts(client: httpx.AsyncClient) -> None:
    route = (await client.get("/openapi.json")).json()["paths"][PATH]["post"]
    schema = route["requestBody"]["content"]["multipart/form-data"]["schema"]

    assert {"file", "name", "version", "format", "tags", "dataset_metadata"} <= set(schema["properties"])
    assert schema["required"] == ["file", "name", "version"]


async def test_every_route_with_a_body_says_how_it_may_be_refused(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    routes = [route for methods in paths.values() for route in methods.values() if "requestBody" in route]
    assert len(routes) > 15
    for route in routes:
        assert {"400", "401", "403", "413", "422", "503"} <= set(route["responses"]), route["operationId"]
        for status in ("400", "422"):
            shape = route["responses"][status]["content"]["application/json"]["schema"]
            assert list(shape["properties"]) == ["error"], (route["operationId"], status)


async def test_the_page_of_the_api_shows_bodies_and_errors_of_every_route(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    ours = {path: route for path, route in paths.items() if path.startswith("/api/v1/admin/training/datasets")
            or path.startswith("/api/v1/admin/review")}  # fmt: skip
    assert len(ours) == 14
    for path, methods in ours.items():
        for method, route in methods.items():
            assert route["summary"], (method, path)
            assert route.get("description"), (method, path)
            assert {"404", "409", "422", "503"} <= set(route["responses"]), (method, path)
            shape = route["responses"]["422"]["content"]["application/json"]["schema"]
            assert set(shape["properties"]["error"]["properties"]) == {"message", "type", "param", "code"}
            if method == "patch" or path.endswith(("validate", "split", "ingest", "release", "dismiss")):
                assert route["requestBody"]["content"]["application/json"]["schema"]["properties"], (method, path)


async def test_nothing_of_the_files_is_stored_with_the_rows(client: httpx.AsyncClient, store: Store) -> None:
    await sent(client, data=b'{"instruction": "secret words", "output": "more"}\n')

    assert "secret" not in str(store.uploads.get(1))


async def test_a_name_has_each_version_once_until_it_is_deleted(client: httpx.AsyncClient) -> None:
    await sent(client)
    again = await send(client)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "not_allowed")
    assert "dataset 1" in again.json()["error"]["message"]

    await sent(client, name="other")
    renamed = await client.patch(f"{PATH}/2", json={"name": "support"})
    assert renamed.status_code == 409
    await client.delete(f"{PATH}/1")
    assert (await client.patch(f"{PATH}/2", json={"name": "support"})).status_code == 200


async def test_a_version_has_a_digit(client: httpx.AsyncClient) -> None:
    for version in ("eins", "-", "v", "", "1 2", "1" * 65):
        assert (await send(client, version=version)).status_code == 422, version
    for number, version in enumerate(("v1", "2026-01", "1", "rc.2_b")):
        await sent(client, name=f"n{number}", version=version)


async def test_what_was_skipped_is_counted_in_the_answer(client: httpx.AsyncClient) -> None:
    made = await sent(client, ALPACA + b"not JSON\n" + ALPACA, skip_invalid="true")
    assert made["invalid_samples"] == 1
