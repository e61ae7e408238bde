"""Import, pages, reset and erasure of conversations over HTTP."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from resources.store import Store
from serve.limits import IngressLimits
from tests.resources.examples import conclude
from tests.serve.asgi_call import AsgiCall

pytestmark = pytest.mark.anyio

PATH = "/mlops/conversations"


def row(number: int, **more: Any) -> dict[str, Any]:
    question = {"role": "user", "content": f"Question {number}?"}
    return {"messages": [question], "reply": f"Answer {number}.", "provenance": "human", **more}


def lines(*rows: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(item).encode() + b"\n" for item in rows)


async def test_a_list_and_lines_are_both_taken(client: httpx.AsyncClient, store: Store) -> None:
    listed = await client.post(PATH, json=[row(1), row(2)])
    lined = await client.post(PATH, content=lines(row(3), row(4)) + b"\n")

    assert listed.json() == lined.json() == {"accepted": 2, "duplicates": 0, "rejected": []}
    assert store.conversations.counts().waiting == 4


async def test_every_field_of_an_item_is_kept(client: httpx.AsyncClient, store: Store) -> None:
    given = {"id": "c1", "user_id": "ann", "session_id": "s1", "thread_id": "t1", "source": "tickets"}
    await client.post(PATH, json=[row(1, **given, created_at="2026-01-02T03:04:05+09:00")])

    stored = store.conversations.get("c1")
    assert stored is not None
    found = stored.conversation.model_dump(mode="json")
    assert {name: found[name] for name in given} == given
    assert found["created_at"] == "2026-01-01T18:04:05Z"
    assert (found["provenance"], stored.eligible) == ("human", True)


async def test_a_thread_is_one_conversation_for_each_reply(client: httpx.AsyncClient, store: Store) -> None:
    turns = [{"role": role, "content": f"{role} {n}"} for n in (1, 2) for role in ("user", "assistant")]
    answer = await client.post(PATH, json=[{"id": "t", "messages": turns, "provenance": "human"}])

    assert answer.json()["accepted"] == 2
    found = [store.conversations.get(f"t.{number}") for number in (1, 2)]
    assert [item and (item.conversation.reply, len(item.conversation.messages), item.conversation.thread_id)
            for item in found] == [("assistant 1", 1, "t"), ("assistant 2", 3, "t")]  # fmt: skip


OTHER_FORMATS: dict[str, dict[str, Any]] = {
    "sharegpt": {"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}]},
    "alpaca": {"instruction": "Why?", "input": "", "output": "So."},
    "prompt and completion": {"prompt": "Why?", "completion": "So."},
}


@pytest.mark.parametrize("text", OTHER_FORMATS.values(), ids=OTHER_FORMATS)
async def test_an_item_may_be_in_the_format_of_another_tool(
    client: httpx.AsyncClient, store: Store, text: dict[str, Any]
) -> None:
    answer = await client.post(PATH, json=[{**text, "id": "c1", "user_id": "ann", "provenance": "human"}])

    assert answer.json() == {"accepted": 1, "duplicates": 0, "rejected": []}
    stored = store.conversations.get("c1")
    assert stored is not None
    assert (stored.conversation.last_user, stored.conversation.reply) == ("Why?", "So.")
    assert (stored.conversation.user_id, stored.conversation.source, stored.eligible) == ("ann", "import", True)


SPOILT = {
    "a field of another format": ({**OTHER_FORMATS["alpaca"], "provenance": "human", "prompt": "a"}, "invalid_value"),
    "another format without provenance": (OTHER_FORMATS["alpaca"], "invalid_value"),
    "another format with an unknown role": (
        {"conversations": [{"from": "bing", "value": "a"}], "provenance": "human"},
        "unknown_role",
    ),
    "another format with an empty question": (
        {"prompt": " ", "completion": "a", "provenance": "human"},
        "empty_message",
    ),
    "no provenance": ({"messages": [{"role": "user", "content": "q"}], "reply": "a"}, "invalid_value"),
    "unknown provenance": (row(1, provenance="robot"), "invalid_value"),
    "unknown field": (row(1, colour="red"), "invalid_value"),
    "no object": ("hello", "invalid_value"),
    "no messages": (row(1, messages=[]), "invalid_value"),
    "naive time": (row(1, created_at="2026-01-02T03:04:05"), "invalid_value"),
    "empty reply": (row(1, reply=" "), "empty_reply"),
    "thread without a reply": (
        {"messages": [{"role": "user", "content": "q"}], "provenance": "human"},
        "thread_without_reply",
    ),
    "two users in a row": (row(1, messages=[{"role": "user", "content": "q"}] * 2), "roles_not_alternating"),
    "empty question": (row(1, messages=[{"role": "user", "content": ""}]), "empty_message"),
    "NUL": (row(1, reply="a\0b"), "invalid_value"),
}


@pytest.mark.parametrize(("item", "rule"), SPOILT.values(), ids=SPOILT)
async def test_a_spoilt_item_spoils_only_itself(client: httpx.AsyncClient, store: Store, item: Any, rule: str) -> None:
    answer = await client.post(PATH, json=[row(8), item, row(9)])

    found = answer.json()
    assert (answer.status_code, found["accepted"]) == (200, 2)
    (rejected,) = found["rejected"]
    assert (rejected["index"], rejected["rule"]) == (1, rule)
    assert rejected["reason"]
    assert store.conversations.counts().rows == 2


async def test_a_broken_line_refuses_the_whole_import(client: httpx.AsyncClient, store: Store) -> None:
    answer = await client.post(PATH, content=lines(row(1)) + b'{"messages": [NaN]}\n')

    assert answer.status_code == 400
    assert "line 2" in answer.json()["error"]["message"]
    assert store.conversations.counts().rows == 0


async def test_the_same_text_and_the_same_id_are_duplicates(client: httpx.AsyncClient) -> None:
    await client.post(PATH, json=[row(1, id="c1")])
    answer = await client.post(PATH, json=[row(1), row(2, id="c1"), row(3)])

    assert answer.json() == {"accepted": 1, "duplicates": 2, "rejected": []}


async def test_the_same_key_and_body_give_the_same_answer_once(client: httpx.AsyncClient, store: Store) -> None:
    body = lines(row(1), row(2), row(2), row(3, reply=""))
    answers = [await client.post(PATH, content=body, headers={"idempotency-key": "k1"}) for _ in range(2)]

    assert answers[0].json() == answers[1].json()
    assert (answers[0].json()["accepted"], answers[0].json()["duplicates"]) == (2, 1)
    assert store.conversations.counts().rows == 3
    assert len(store.events.page(type="conversations_imported")) == 1


async def test_an_import_that_died_before_its_answer_gives_that_answer_when_repeated(
    client: httpx.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    body, key = lines(row(1), row(2)), {"idempotency-key": "k1"}
    with monkeypatch.context() as crash:
        crash.setattr(store.events, "add", None)
        assert (await client.post(PATH, content=body, headers=key)).status_code == 500
    answer = await client.post(PATH, content=body, headers=key)

    assert answer.json() == {"accepted": 2, "duplicates": 0, "rejected": []}
    assert store.conversations.counts().rows == 2


async def test_the_same_key_with_another_body_is_refused(client: httpx.AsyncClient, store: Store) -> None:
    key = {"idempotency-key": "k1"}
    await client.post(PATH, content=lines(row(1)), headers=key)
    answer = await client.post(PATH, content=lines(row(2)), headers=key)

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "idempotency_key_reused")
    assert store.conversations.counts().rows == 1


@pytest.mark.parametrize("changes", [{"limits": IngressLimits(import_conversations=2)}])
async def test_too_many_conversations_are_refused(client: httpx.AsyncClient, changes: Any) -> None:
    answer = await client.post(PATH, json=[row(1), row(2), row(3)])

    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_many_conversations")


@pytest.mark.parametrize("changes", [{"limits": IngressLimits(import_bytes=100, body_bytes=10**6)}])
async def test_an_import_over_its_limit_is_refused_while_it_is_read(api: Any, changes: Any) -> None:
    call = AsgiCall(api, "POST", PATH, [b" " * 60] * 1000)
    await call.task

    assert (call.status, call.read) == (413, 2)


async def test_pages_are_newest_first_and_filtered(client: httpx.AsyncClient) -> None:
    rows = [row(n, id=f"c{n}", user_id="ann" if n % 2 else "bob", source="tickets") for n in range(5)]
    await client.post(PATH, json=rows)
    first = (await client.get(PATH, params={"page": 1, "page_size": 2})).json()
    third = (await client.get(PATH, params={"limit": 2, "offset": 4})).json()
    ann = (await client.get(PATH, params={"user_id": "ann", "eligible": True, "source": "tickets"})).json()

    assert [item["id"] for item in first["items"]] == ["c4", "c3"]
    assert (first["page"], first["page_size"], first["total"]) == (1, 2, 5)
    assert ([item["id"] for item in third["items"]], third["page"]) == (["c0"], 3)
    assert [item["id"] for item in ann["items"]] == ["c3", "c1"]
    item = ann["items"][0]
    assert (item["reply"], item["eligible"], item["version"], item["rating"]) == ("Answer 3.", True, None, None)
    assert (await client.get(PATH, params={"version": 1})).json()["total"] == 0


async def test_a_page_shows_nobodys_number_nor_address(client: httpx.AsyncClient, store: Store) -> None:
    said = {"messages": [{"role": "user", "content": "kim@example.com, 010-1234-5678, 960121-1021413"}]}
    await client.post(PATH, json=[row(1, id="c1", **said)])

    shown = (await client.get(PATH)).json()["items"][0]
    assert shown["messages"][0]["content"] == "[EMAIL_1], [PHONE_1], [RRN]"
    assert (shown["eligible"], shown["reason"]) == (False, "personal_data")
    stored = store.conversations.get("c1")
    assert stored is not None
    assert stored.conversation.messages[0].content == "kim@example.com, 010-1234-5678, [RRN]"


async def test_a_reset_keeps_a_copy_unless_it_is_told_not_to(
    client: httpx.AsyncClient, store: Store, tmp_path: Path
) -> None:
    await client.post(PATH, json=[row(1), row(2)])
    store.versions.claim("run-1")
    await client.post(PATH, json=[row(3), row(4)])
    answer = (await client.delete(PATH)).json()

    assert (answer["deleted"], answer["versions_affected"]) == (2, [])
    copy = tmp_path / answer["backup"]
    assert len(copy.read_text().splitlines()) == 2
    assert store.conversations.counts().rows == 2, "what a version has claimed stays"

    await client.post(PATH, json=[row(5)])
    bare = (await client.delete(PATH, params={"backup": "false"})).json()
    assert bare == {"deleted": 1, "backup": None, "versions_affected": []}
    assert len(list(copy.parent.iterdir())) == 1


async def test_an_erasure_takes_everything_of_a_user_and_names_the_versions(
    client: httpx.AsyncClient, store: Store
) -> None:
    await client.post(PATH, json=[row(1, user_id="ann"), row(2, user_id="bob")])
    claim = store.versions.claim("run-1")
    assert claim is not None
    conclude(store, claim)
    await client.post(PATH, json=[row(3, user_id="ann"), row(4, user_id="bob")])
    store.versions.claim("run-2")
    answer = (await client.delete(PATH, params={"user_id": "ann"})).json()

    assert answer == {"deleted": 2, "versions_affected": [1], "restarted": 2, "erasure_id": 1}
    assert [item["user_id"] for item in (await client.get(PATH)).json()["items"]] == ["bob", "bob"]


@pytest.mark.parametrize("changes", [{"limits": IngressLimits(imports=1)}])
async def test_one_import_too_many_is_turned_away_before_its_body_is_read(
    api: Any, client: httpx.AsyncClient, changes: Any
) -> None:
    unfinished = AsgiCall(api, "POST", PATH)  # its body never comes
    await asyncio.sleep(0)
    refused = AsgiCall(api, "POST", PATH, [lines(row(1))])
    await refused.task
    unfinished.leave()
    await unfinished.task

    assert (refused.status, refused.headers["retry-after"], refused.read) == (503, "1", 0)
    assert (await client.post(PATH, json=[row(1)])).json()["accepted"] == 1


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00"])
async def test_a_time_beyond_the_calendar_spoils_only_its_conversation(client: httpx.AsyncClient, at: str) -> None:
    item = {"messages": [{"role": "user", "content": "Hi?"}], "reply": "Yes.", "provenance": "human"}
    answer = (await client.post("/mlops/conversations", json=[{**item, "created_at": at}, item])).json()

    assert (answer["accepted"], [found["index"] for found in answer["rejected"]]) == (1, [0])
    (row,) = (await client.get("/mlops/conversations")).json()["items"]
    assert row["created_at"].endswith("Z")


async def test_a_thread_that_repeats_itself_without_measure_is_no_import(client: httpx.AsyncClient) -> None:
    pair = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    item = {"provenance": "human", "messages": pair * 10_000}
    answer = (await client.post("/mlops/conversations", json=[item])).json()
    assert [one["rule"] for one in answer["rejected"]] == ["thread_too_long"]


@pytest.mark.parametrize("changes", [{"limits": IngressLimits(import_conversations=3)}])
async def test_replies_of_threads_count_among_the_conversations_of_an_import(
    client: httpx.AsyncClient, store: Store, changes: Any
) -> None:
    pair = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    answer = await client.post("/mlops/conversations", json=[{"provenance": "human", "messages": pair * 4}])
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_many_conversations")
    assert store.conversations.page().total == 0
