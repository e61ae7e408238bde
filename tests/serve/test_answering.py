"""Streams: stored before the first token, complete before [DONE], incomplete when something ended them early."""

import asyncio
import json
from typing import Any, cast

import httpx
import pytest

from resources.capture import CaptureWriter
from resources.conversations import StoredConversation
from resources.store import Store
from serve.api import IngressDeps
from serve.limits import IngressLimits
from tests.fakes import FakeEngine, FakeFollower
from tests.serve.asgi_call import AsgiCall

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
ASK = {"messages": [{"role": "user", "content": "My printer is not printing."}], "stream": True}


def said(text: str) -> list[Any]:
    events = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    return [event if event == "[DONE]" else json.loads(event) for event in events]


def kept(store: Store, id: str) -> StoredConversation:
    found = store.conversations.get(id)
    assert found is not None
    return found


async def settled(deps: IngressDeps, id: str) -> StoredConversation:
    """What nobody waits for is stored by the time the writer has ended."""
    await asyncio.to_thread(cast(CaptureWriter, deps.writer).close)
    return kept(deps.store, id)


async def test_every_chunk_carries_the_conversation_and_the_writer(
    client: httpx.AsyncClient, follower: FakeFollower
) -> None:
    follower.current = "v1"
    answer = await client.post(CHAT, json=ASK)

    *chunks, end = said(answer.text)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert end == "[DONE]"
    assert {chunk["id"] for chunk in chunks} == {answer.headers["x-whetstone-conversation"]}
    assert {chunk["model"] for chunk in chunks} == {"v1"}
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    assert text == "Check the cable."


async def test_a_streamed_reply_is_stored_whole(client: httpx.AsyncClient, store: Store) -> None:
    answer = await client.post(CHAT, json=ASK | {"user": "ann"})

    conversation = kept(store, answer.headers["x-whetstone-conversation"]).conversation
    assert answer.headers["x-whetstone-collected"] == "true"
    assert (conversation.reply, conversation.complete, conversation.user_id) == ("Check the cable.", True, "ann")
    assert store.conversations.counts().rows == 1


async def test_the_row_is_there_incomplete_before_the_first_token_and_complete_before_done(
    api: Any, engine: FakeEngine, store: Store
) -> None:
    engine.pause_after = 0
    call = AsgiCall.json(api, CHAT, ASK)
    await engine.paused.wait()
    await call.until("chat.completion.chunk")
    id = call.headers["x-whetstone-conversation"]
    before = kept(store, id)
    engine.go_on.set()
    await call.until("[DONE]")

    assert (before.conversation.reply, before.conversation.complete, before.reason) == ("", False, "incomplete")
    assert kept(store, id).conversation.complete
    call.leave()
    await call.task


async def test_a_client_that_hangs_up_leaves_the_row_incomplete_with_what_was_said(
    api: Any, engine: FakeEngine, deps: IngressDeps
) -> None:
    engine.pause_after = 2
    call = AsgiCall.json(api, CHAT, ASK)
    await call.until("the")
    call.leave()
    await call.task

    stored = await settled(deps, call.headers["x-whetstone-conversation"])
    assert stored.conversation.reply == "Check the"
    assert (stored.conversation.complete, stored.eligible, stored.reason) == (False, False, "incomplete")
    assert engine.closed == 1, "the engine was told to stop"


async def test_a_cancelled_stream_is_closed_and_gives_its_place_back(
    api: Any, engine: FakeEngine, deps: IngressDeps
) -> None:
    engine.pause_after = 1
    call = AsgiCall.json(api, CHAT, ASK)
    await call.until("Check")
    call.task.cancel()  # what Serve does when the client disconnects
    with pytest.raises(asyncio.CancelledError):
        await call.task

    stored = await settled(deps, call.headers["x-whetstone-conversation"])
    assert (stored.conversation.reply, stored.conversation.complete) == ("Check", False)
    assert engine.closed == 1
    metrics = AsgiCall(api, "GET", "/metrics")
    await metrics.task
    assert "whetstone_chats_running 0.0" in metrics.text
    assert 'whetstone_replies_total{model="base",outcome="abandoned"} 1.0' in metrics.text


async def test_an_engine_that_dies_half_way_ends_the_stream_with_an_error(
    client: httpx.AsyncClient, engine: FakeEngine, deps: IngressDeps
) -> None:
    engine.breaks_after = 2
    answer = await client.post(CHAT, json=ASK)

    *_, last = said(answer.text)
    assert answer.status_code == 200
    assert last["error"]["code"] == "internal_error"
    assert "[DONE]" not in answer.text
    stored = await settled(deps, answer.headers["x-whetstone-conversation"])
    assert (stored.conversation.reply, stored.conversation.complete) == ("Check the", False)


@pytest.mark.parametrize("changes", [{"limits": IngressLimits(reply_seconds=0.05)}])
async def test_a_stream_that_stands_still_is_ended(
    client: httpx.AsyncClient, engine: FakeEngine, changes: dict[str, Any]
) -> None:
    engine.pause_after = 1
    answer = await client.post(CHAT, json=ASK)

    assert said(answer.text)[-1]["error"]["code"] == "timeout"
    assert engine.closed == 1


async def test_a_streamed_answer_cut_at_the_token_limit_stays_incomplete(
    client: httpx.AsyncClient, engine: FakeEngine, store: Store
) -> None:
    engine.finish = "length"
    answer = await client.post(CHAT, json=ASK)

    conversation = kept(store, answer.headers["x-whetstone-conversation"]).conversation
    assert (conversation.reply, conversation.complete) == ("Check the cable.", False)
    assert "[DONE]" in answer.text


async def test_store_false_is_honoured_by_streams(client: httpx.AsyncClient, store: Store) -> None:
    answer = await client.post(CHAT, json=ASK | {"store": False})

    assert answer.headers["x-whetstone-collected"] == "false"
    assert "[DONE]" in answer.text
    assert store.conversations.counts().rows == 0
