"""Who gets in, with keys and without."""

from typing import Any

import httpx
import pytest

from serve.auth import Keys

pytestmark = pytest.mark.anyio

LOCKED = {"keys": Keys(enabled=True, api="chat-key", admin="admin-key")}
CHAT = {"messages": [{"role": "user", "content": "Hi"}]}

# path, key, status
DOORS = [
    ("/health", None, 200),
    ("/docs", None, 200),
    ("/v1/models", None, 401),
    ("/v1/models", "wrong", 401),
    ("/v1/models", "", 401),
    ("/v1/models", "chat-key", 200),
    ("/v1/models", "admin-key", 200),
    ("/metrics", None, 401),
    ("/mlops/status", None, 401),
    ("/mlops/status", "chat-key", 403),
    ("/mlops/status", "admin-key", 200),
    ("/mlops/conversations", "chat-key", 403),
    ("/api/v1/admin/models", "chat-key", 403),
    ("/api/v1/admin/models", "admin-key", 200),
    ("/api/v1/admin/training/datasets", None, 401),
    ("/api/v1/admin/training/datasets", "chat-key", 403),
    ("/api/v1/admin/training/datasets", "admin-key", 200),
    ("/api/v1/admin/review", "chat-key", 403),
    ("/api/v1/admin/review", "admin-key", 200),
    ("/nowhere", None, 401),
]


@pytest.mark.parametrize("changes", [LOCKED])
@pytest.mark.parametrize(("path", "key", "status"), DOORS)
async def test_each_door_has_its_key(
    client: httpx.AsyncClient, changes: Any, path: str, key: str | None, status: int
) -> None:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    answer = await client.get(path, headers=headers)

    assert answer.status_code == status
    if status in (401, 403):
        assert answer.json()["error"]["type"] in ("authentication_error", "permission_error")
        assert "chat-key" not in answer.text
        assert "admin-key" not in answer.text


@pytest.mark.parametrize("changes", [LOCKED])
async def test_a_key_opens_from_any_host(client: httpx.AsyncClient, changes: Any) -> None:
    headers = {"authorization": "bearer chat-key", "host": "chat.example"}

    assert (await client.get("/v1/models", headers=headers)).status_code == 200


@pytest.mark.parametrize("name", ["127.0.0.1:8000", "localhost:8000", "[::1]:8000", "localhost"])
async def test_without_keys_this_machine_gets_in(client: httpx.AsyncClient, name: str) -> None:
    headers = {"host": name, "origin": f"http://{name}"}

    assert (await client.post("/v1/chat/completions", json=CHAT, headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"host": "10.0.0.7"},
        {"host": "["},
        {"origin": "http://["},
        {"origin": "//[::1"},
    ],
)
async def test_without_keys_a_page_from_elsewhere_does_not(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    answer = await client.request("DELETE", "/mlops/conversations", headers=headers)

    assert answer.status_code == 403


def test_keys_are_not_shown() -> None:
    assert "chat-key" not in repr(LOCKED["keys"])
