"""`POST /chat` keeps the shape it was given."""

import re
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from resources.store import Store
from serve import chat_api
from tests.fakes import FakeFollower

pytestmark = pytest.mark.anyio


async def test_the_answer_has_exactly_the_shape_of_the_contract(
    client: httpx.AsyncClient, follower: FakeFollower
) -> None:
    follower.current = "v2"
    answer = await client.post("/chat", json={"message": "Hi", "user_id": "ann", "session_id": "s1"})

    body = answer.json()
    assert answer.status_code == 200
    assert set(body) == {"response", "search_results", "timing", "mlops_info"}
    assert (body["response"], body["search_results"]) == ("Check the cable.", [])
    assert set(body["timing"]) == {"total", "gpt"}
    assert all(re.fullmatch(r"\d+\.\ds", text) for text in body["timing"].values())
    assert body["mlops_info"] == {
        "collected": True,
        "total_collected": 1,
        "new_data_count": 0,
        "should_train": False,
        "training_queued": False,
        "current_version": "v2",
        "eligible": False,
        "reason": "own_reply_without_feedback",
    }
    assert answer.headers["x-whetstone-model"] == "v2"


async def test_somebodys_number_is_told_of_and_not_kept(client: httpx.AsyncClient, store: Store) -> None:
    answer = await client.post("/chat", json={"message": "주민번호는 960121-1021413입니다"})

    assert answer.json()["mlops_info"]["reason"] == "personal_data"
    stored = store.conversations.get(answer.headers["x-whetstone-conversation"])
    assert stored is not None
    assert stored.conversation.last_user == "주민번호는 [RRN]입니다"


async def test_before_the_first_version_the_base_answers(client: httpx.AsyncClient, store: Store) -> None:
    answer = await client.post("/chat", json={"message": "Hi"})

    assert answer.json()["mlops_info"]["current_version"] == "base"
    stored = store.conversations.get(answer.headers["x-whetstone-conversation"])
    assert stored is not None
    assert (stored.conversation.source, stored.conversation.user_id) == ("chat", None)


async def test_a_full_batch_should_train(client: httpx.AsyncClient) -> None:
    await client.post("/mlops/settings", json={"finetune_batch_size": 1})
    row: dict[str, Any] = {"messages": [{"role": "user", "content": "q"}], "reply": "a", "provenance": "human"}
    await client.post("/mlops/conversations", json=[row])
    info = (await client.post("/chat", json={"message": "Hi"})).json()["mlops_info"]

    assert (info["new_data_count"], info["should_train"], info["training_queued"]) == (1, True, True)


async def test_what_was_ever_collected_is_counted_once_a_second(
    client: httpx.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, counted, count = SimpleNamespace(now=100.0), [], store.conversations.counts
    monkeypatch.setattr(chat_api, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(store.conversations, "counts", lambda: counted.append(clock.now) or count())

    async def total() -> int:
        return int((await client.post("/chat", json={"message": "Hi"})).json()["mlops_info"]["total_collected"])

    assert [await total(), await total()] == [1, 1]
    clock.now += 1
    assert await total() == 3
    assert counted == [100.0, 101.0]
