"""Chat completions, models and feedback over HTTP."""

from typing import Any

import httpx
import pytest

from resources.store import Store, StoreUnavailable
from resources.store_errors import CaptureFull
from serve.engine_client import AdapterNotServed, EngineBusy, EngineUnavailable
from serve.limits import IngressLimits
from tests.fakes import FakeEngine, FakeFollower, FakeWriter
from tests.serve.asgi_call import AsgiCall
from tests.serve.ingress_fixtures import LOCAL

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {"model": "production", "messages": [{"role": "user", "content": "My printer is not printing."}]}


async def test_a_reply_names_its_writer_and_is_stored_before_it_is_sent(
    client: httpx.AsyncClient, store: Store, follower: FakeFollower
) -> None:
    follower.current = "v2"
    answer = await client.post(
        CHAT, json=ASK | {"user": "ann", "metadata": {"conversation_id": "t1", "session_id": "s1", "other": "x"}}
    )

    body, headers = answer.json(), answer.headers
    assert answer.status_code == 200
    assert body["choices"][0]["message"]["content"] == "Check the cable."
    assert (body["model"], headers["x-whetstone-model"]) == ("v2", "v2")
    assert body["id"] == headers["x-whetstone-conversation"]
    assert headers["x-whetstone-collected"] == "true"
    stored = store.conversations.get(body["id"])
    assert stored is not None
    kept = stored.conversation
    assert (kept.last_user, kept.reply) == ("My printer is not printing.", "Check the cable.")
    assert (kept.user_id, kept.thread_id, kept.session_id) == ("ann", "t1", "s1")
    assert (kept.model, kept.provenance, kept.source, kept.complete) == ("v2", "self", "openai", True)
    assert (stored.eligible, stored.reason) == (False, "own_reply_without_feedback")


async def test_the_earlier_turns_are_the_messages_of_the_conversation(client: httpx.AsyncClient, store: Store) -> None:
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "My printer?"},
    ]
    answer = await client.post(CHAT, json={"messages": turns})

    stored = store.conversations.get(answer.json()["id"])
    assert stored is not None
    assert [message.model_dump() for message in stored.conversation.messages] == turns


async def test_the_turns_of_a_dialogue_without_a_name_are_one_thread(client: httpx.AsyncClient, store: Store) -> None:
    first = {"role": "user", "content": "Hi"}
    later = [{"role": "assistant", "content": "Hello"}, {"role": "user", "content": "My printer?"}]
    asked = [[first], [first, *later], [{"role": "user", "content": "Bye"}]]
    threads = [await thread_of(client, store, {"messages": turns}) for turns in asked]
    assert threads[0] == threads[1] != threads[2]
    assert await thread_of(client, store, {"messages": [first], "user": "ann"}) not in threads
    assert "Hi" not in str(threads[0])


async def thread_of(client: httpx.AsyncClient, store: Store, body: dict[str, Any]) -> str | None:
    stored = store.conversations.get((await client.post(CHAT, json=body)).json()["id"])
    assert stored is not None
    return stored.conversation.thread_id


async def test_a_named_version_answers_itself_whoever_is_champion(
    client: httpx.AsyncClient, engine: FakeEngine, follower: FakeFollower
) -> None:
    follower.current = "v2"
    for name in ("v1", "base"):
        answer = await client.post(CHAT, json=ASK | {"model": name})
        assert answer.headers["x-whetstone-model"] == name
    assert [body["model"] for body in engine.asked] == ["v1", "base"]


async def test_only_known_harmless_parameters_reach_the_engine(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    harmless = {"temperature": 0, "top_p": 0.5, "n": 2, "stop": ["x"], "seed": 1, "top_k": 5, "logit_bias": {"5": 1}}
    dangerous = {
        "chat_template": "{{ x }}",
        "cache_salt": "s",
        "priority": -1,
        "structured_outputs": {"regex": "(a+)+"},
    }
    answer = await client.post(CHAT, json=ASK | harmless | dangerous | {"max_completion_tokens": 7})

    assert answer.status_code == 200, answer.text
    assert engine.asked[0] == {
        **harmless,
        "max_tokens": 7,
        "model": "base",
        "messages": ASK["messages"],
        "stream": False,
    }


async def test_a_reply_without_max_tokens_is_bounded(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    await client.post(CHAT, json=ASK)

    assert engine.asked[0]["max_tokens"] == IngressLimits().default_tokens


async def test_store_false_is_honoured(client: httpx.AsyncClient, store: Store) -> None:
    answer = await client.post(CHAT, json=ASK | {"store": False})

    assert answer.headers["x-whetstone-collected"] == "false"
    assert store.conversations.counts().rows == 0


async def test_nothing_is_stored_while_collection_is_switched_off(client: httpx.AsyncClient, store: Store) -> None:
    await client.post("/mlops/settings", json={"conversation_collection_enabled": False})
    answer = await client.post(CHAT, json=ASK)

    assert answer.headers["x-whetstone-collected"] == "false"
    assert store.conversations.counts().rows == 0


async def test_an_answer_cut_at_the_token_limit_is_incomplete(
    client: httpx.AsyncClient, store: Store, engine: FakeEngine
) -> None:
    engine.finish = "length"
    answer = await client.post(CHAT, json=ASK)

    stored = store.conversations.get(answer.json()["id"])
    assert stored is not None
    assert (stored.conversation.complete, stored.reason) == (False, "incomplete")
    assert answer.headers["x-whetstone-collected"] == "true"


UNABLE = {
    "store away": (FakeWriter(StoreUnavailable("gone")), "store_unavailable"),
    "queue full": (FakeWriter(CaptureFull("full")), "queue_full"),
    "store slow": (FakeWriter(), "store_slow"),
}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"writer": writer, "limits": IngressLimits(capture_seconds=0.05)}, reason) for writer, reason in UNABLE.values()],
    ids=UNABLE,
)
@pytest.mark.parametrize("stream", [False, True])
async def test_the_reply_goes_out_while_nothing_can_be_stored_and_is_counted(
    client: httpx.AsyncClient, changes: dict[str, Any], reason: str, stream: bool
) -> None:
    answer = await client.post(CHAT, json=ASK | {"stream": stream})

    assert answer.status_code == 200
    assert "cable" in answer.text
    assert answer.headers["x-whetstone-collected"] == "false"
    counted = (await client.get("/metrics")).text
    assert f'whetstone_replies_uncollected_total{{reason="{reason}"}} 1.0' in counted


FAILURES = {
    "busy": (EngineBusy(), 503, "engine_busy"),
    "unavailable": (EngineUnavailable(), 503, "engine_unavailable"),
    "adapter refused": (AdapterNotServed("wrong hash"), 503, "adapter_not_served"),
    "unforeseen": (RuntimeError("secret prompt"), 500, "internal_error"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("raised", "status", "code"), FAILURES.values(), ids=FAILURES)
async def test_an_engine_that_fails_gives_an_error_and_stores_nothing(
    client: httpx.AsyncClient,
    engine: FakeEngine,
    store: Store,
    raised: Exception,
    status: int,
    code: str,
    stream: bool,
) -> None:
    engine.raises = raised
    answer = await client.post(CHAT, json=ASK | {"stream": stream})

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert ("retry-after" in answer.headers) == (status == 503)
    assert "secret" not in answer.text
    assert store.conversations.counts().rows == 0


async def test_what_the_engine_says_of_the_request_is_passed_on(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    error = {"message": "maximum context length is 2048. input_value='my prompt'", "param": "input_tokens", "code": 400}
    engine.head = {"status": 400, "json": {"error": error}}
    answer = await client.post(CHAT, json=ASK)

    assert answer.status_code == 400
    assert "maximum context length" in answer.json()["error"]["message"]
    assert "my prompt" not in answer.text
    error = answer.json()["error"]
    assert (error["param"], error["code"]) == ("messages", "context_length_exceeded")


async def test_what_the_engine_says_of_itself_is_not(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.head = {"status": 500, "json": {"error": {"message": "CUDA error in /opt/kernel.cu", "code": 500}}}
    answer = await client.post(CHAT, json=ASK)

    assert answer.status_code == 500
    assert "kernel" not in answer.text


@pytest.mark.parametrize("changes", [{"limits": IngressLimits(reply_seconds=0.05)}])
async def test_a_reply_that_takes_too_long_is_given_up(
    client: httpx.AsyncClient, engine: FakeEngine, changes: dict[str, Any]
) -> None:
    engine.pause_after = 0
    answer = await client.post(CHAT, json=ASK)

    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "timeout")
    assert engine.closed == 1


@pytest.mark.parametrize("changes", [{"limits": IngressLimits(running_chats=1)}])
async def test_one_chat_too_many_is_turned_away_at_once(
    client: httpx.AsyncClient, api: Any, engine: FakeEngine, changes: dict[str, Any]
) -> None:
    engine.pause_after = 0
    first = AsgiCall.json(api, CHAT, ASK)
    await engine.paused.wait()
    answer = await client.post(CHAT, json=ASK)
    engine.go_on.set()
    await first.task

    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
    assert answer.headers["retry-after"] == "1"
    assert (await client.post(CHAT, json=ASK)).status_code == 200


async def test_a_client_that_leaves_before_a_whole_reply_cancels_the_engine(
    api: Any, engine: FakeEngine, store: Store
) -> None:
    engine.pause_after = 0
    call = AsgiCall.json(api, CHAT, ASK)
    await engine.paused.wait()
    call.task.cancel()  # what Serve does when the client disconnects
    await _ended(call)

    assert engine.closed == 1
    assert store.conversations.counts().rows == 0
    assert 'whetstone_replies_total{model="base",outcome="abandoned"} 1.0' in await _metrics(api)


async def _metrics(api: Any) -> str:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url=LOCAL) as client:
        return (await client.get("/metrics")).text


LIMITED = {"limits": IngressLimits(body_bytes=100)}


@pytest.mark.parametrize("changes", [LIMITED])
async def test_a_body_over_the_limit_is_refused_by_its_length(client: httpx.AsyncClient, changes: Any) -> None:
    answer = await client.post(CHAT, json=ASK | {"user": "u" * 100})

    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("changes", [LIMITED])
async def test_a_chunked_body_is_refused_at_the_first_byte_over_the_limit(api: Any, changes: Any) -> None:
    call = AsgiCall(api, "POST", CHAT, [b" " * 60] * 1000)
    await call.task

    assert call.status == 413
    assert call.read == 2, "what comes after the limit is not read"


async def test_models_lists_what_can_be_asked(client: httpx.AsyncClient) -> None:
    listed = (await client.get("/v1/models")).json()

    assert [model["id"] for model in listed["data"]] == ["production", "base", "v1", "v2"]
    assert (await client.get("/v1/models/v1")).json()["id"] == "v1"
    assert (await client.get("/v1/models/v9")).json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize("said", [{"rating": 4}, {"rating": 5}, {"thumb": 1}])
async def test_praise_makes_our_own_reply_eligible(client: httpx.AsyncClient, store: Store, said: Any) -> None:
    completion = (await client.post(CHAT, json=ASK)).json()["id"]
    saved = (await client.post("/v1/feedback", json={"completion_id": completion, **said})).json()

    assert (saved["conversation_id"], saved["eligible"]) == (completion, True)
    assert store.conversations.counts().waiting == 1


@pytest.mark.parametrize("said", [{"rating": 3}, {"thumb": -1}, {"comment": "hm"}])
async def test_anything_less_does_not(client: httpx.AsyncClient, store: Store, said: Any) -> None:
    completion = (await client.post(CHAT, json=ASK)).json()["id"]
    saved = (await client.post("/v1/feedback", json={"conversation_id": completion, **said})).json()

    assert saved["eligible"] is False
    assert store.conversations.counts().waiting == 0


async def test_a_corrected_reply_is_a_conversation_of_its_own(client: httpx.AsyncClient, store: Store) -> None:
    completion = (await client.post(CHAT, json=ASK)).json()["id"]
    body = {"completion_id": completion, "thumb": -1, "corrected_reply": "Is it plugged in?"}
    saved = (await client.post("/v1/feedback", json=body)).json()

    corrected = store.conversations.get(saved["corrected_id"])
    assert corrected is not None
    assert corrected.conversation.reply == "Is it plugged in?"
    assert (corrected.conversation.provenance, corrected.eligible) == ("self_edited", True)


async def _ended(call: AsgiCall) -> None:
    import asyncio

    with pytest.raises(asyncio.CancelledError):
        await call.task
