"""Each bad input gets a 4xx in the OpenAI error shape that says what was expected and where; nothing is stored."""

import json
import re
from typing import Any

import httpx
import pytest

from resources.store import Store
from tests.fakes import FakeEngine

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
USER = {"role": "user", "content": "My printer is not printing."}
SYSTEM = {"role": "system", "content": "Be brief."}
ASSISTANT = {"role": "assistant", "content": "Is it on?"}


def chat(messages: Any, **more: Any) -> bytes:
    return json.dumps({"model": "production", "messages": messages, **more}).encode()


def deep(levels: int) -> bytes:
    return b'{"messages":' + b"[" * levels + b"]" * levels + b"}"


# path, body, status, what the message names
BAD = {
    "no messages": (CHAT, chat([]), 400, "at least one message"),
    "messages missing": (CHAT, b'{"model": "production"}', 400, "messages: expected a value"),
    "messages no list": (CHAT, chat("hello"), 400, "messages"),
    "message no object": (CHAT, chat(["hello"]), 400, "messages[0]"),
    "unknown role": (CHAT, chat([{"role": "pirate", "content": "Arr"}]), 400, "messages[0].role"),
    "tool message": (CHAT, chat([USER, {"role": "tool", "content": "4"}]), 400, "messages[1].role"),
    "empty content": (CHAT, chat([{"role": "user", "content": ""}]), 400, "messages[0]"),
    "blank content": (CHAT, chat([{"role": "user", "content": " \n\t"}]), 400, "messages[0]"),
    "content missing": (CHAT, chat([{"role": "user"}]), 400, "messages[0].content"),
    "image part": (CHAT, chat([{"role": "user", "content": [{"type": "image_url"}]}]), 400, "messages[0].content[0]"),
    "two users in a row": (CHAT, chat([USER, USER]), 400, "messages[1]"),
    "two assistants in a row": (CHAT, chat([USER, ASSISTANT, ASSISTANT, USER]), 400, "messages[2]"),
    "assistant first": (CHAT, chat([ASSISTANT, USER]), 400, "messages[0]"),
    "last not the user's": (CHAT, chat([USER, ASSISTANT]), 400, "messages[1]"),
    "system not first": (CHAT, chat([USER, SYSTEM, USER]), 400, "messages[1]"),
    "only a system message": (CHAT, chat([SYSTEM]), 400, "Expected a user message"),
    "too many messages": (CHAT, chat([USER, ASSISTANT] * 300 + [USER]), 400, "at most 500 messages"),
    "unknown model": (CHAT, chat([USER], model="gpt-9"), 404, "production, base, v1, v2"),
    "unknown version": (CHAT, chat([USER], model="v99"), 404, "production, base, v1, v2"),
    "path as model": (CHAT, chat([USER], model="../../etc/passwd"), 404, "production, base, v1, v2"),
    "teacher not configured": (CHAT, chat([USER], model="teacher"), 404, "OPENAI_API_KEY"),
    "invalid JSON": (CHAT, b'{"model": ', 400, "line 1 column"),
    "no JSON at all": (CHAT, b"hello", 400, "line 1 column 1"),
    "a list": (CHAT, b"[1, 2]", 400, "the body"),
    "empty body": (CHAT, b"", 400, "messages: expected a value"),
    "invalid UTF-8": (CHAT, b'{"messages": "\xff"}', 400, "UTF-8"),
    "NaN": (CHAT, chat([USER], temperature=float("nan")), 400, "NaN"),
    "Infinity": (CHAT, chat([USER], temperature=float("-inf")), 400, "-Infinity"),
    "a number beyond double": (CHAT, chat([USER])[:-1] + b', "temperature": 1e999}', 400, "too large"),
    "an integer of 5,000 digits": (
        CHAT,
        chat([USER])[:-1] + b', "seed": ' + b"9" * 5000 + b"}",
        400,
        "found a number of 5000 digits",
    ),
    "the same key twice": (CHAT, chat([USER])[:-1] + b', "model": "base"}', 400, "same key twice"),
    "lone surrogate": (CHAT, chat([{"role": "user", "content": "a\ud800b"}]), 400, "lone surrogate"),
    "lone surrogate in a key": (CHAT, chat([USER], **{"x\udfff": 1}), 400, "lone surrogate"),
    "NUL": (CHAT, chat([{"role": "user", "content": "a\0b"}]), 400, "messages[0].content"),
    "33 levels": (CHAT, deep(33), 400, "levels of nesting"),
    "100,000 levels": (CHAT, deep(100_000), 400, "levels of nesting"),
    "temperature 3": (CHAT, chat([USER], temperature=3), 400, "temperature"),
    "n of 5": (CHAT, chat([USER], n=5), 400, "n:"),
    "n of true": (CHAT, chat([USER], n=True), 400, "n:"),
    "max_tokens of 0": (CHAT, chat([USER], max_tokens=0), 400, "max_tokens"),
    "max_tokens of a million": (CHAT, chat([USER], max_tokens=1_000_000), 400, "at most 1024"),
    "stream of maybe": (CHAT, chat([USER], stream="maybe"), 400, "stream"),
    "tools": (CHAT, chat([USER], tools=[{"type": "function"}]), 400, "tools"),
    "stop of 5": (CHAT, chat([USER], stop=5), 400, "stop: expected a text or a list"),
    "20 stops": (CHAT, chat([USER], stop=["x"] * 20), 400, "stop: expected a text or a list"),
    "max_completion_tokens": (CHAT, chat([USER], max_completion_tokens=10**30), 400, "max_completion_tokens: expected"),
    "min_tokens beyond any": (CHAT, chat([USER], min_tokens=10**30), 400, "min_tokens"),
    "null as body": (CHAT, b"null", 400, "the body: expected an object, found null"),
    "json_schema": (CHAT, chat([USER], response_format={"type": "json_schema"}), 400, "response_format"),
    "user of 300 characters": (CHAT, chat([USER], user="u" * 300), 400, "user"),
    "chat without message": ("/chat", b"{}", 422, "message: expected a value"),
    "chat with a blank message": ("/chat", b'{"message": "  "}', 422, "message"),
    "chat with an unknown field": ("/chat", b'{"message": "hi", "colour": "red"}', 422, "colour: unknown field"),
    "feedback for an unknown id": ("/v1/feedback", b'{"completion_id": "nobody", "rating": 5}', 404, "nobody"),
    "a blank correction": ("/v1/feedback", b'{"completion_id": "x", "corrected_reply": "  "}', 422, "corrected_reply"),
    "rating 6": ("/v1/feedback", b'{"completion_id": "x", "rating": 6}', 422, "rating"),
    "rating 0": ("/v1/feedback", b'{"completion_id": "x", "rating": 0}', 422, "rating"),
    "rating true": ("/v1/feedback", b'{"completion_id": "x", "rating": true}', 422, "rating"),
    "thumb 0": ("/v1/feedback", b'{"completion_id": "x", "thumb": 0}', 422, "thumb"),
    "thumb true": ("/v1/feedback", b'{"completion_id": "x", "thumb": true}', 422, "thumb"),
    "feedback that says nothing": ("/v1/feedback", b'{"completion_id": "x"}', 422, "found none of them"),
    "rating and thumb": ("/v1/feedback", b'{"completion_id": "x", "rating": 5, "thumb": 1}', 422, "found both"),
    "feedback on nothing": ("/v1/feedback", b'{"rating": 5}', 422, "completion_id or conversation_id"),
    "batch size 0": ("/mlops/settings", b'{"finetune_batch_size": 0}', 422, "finetune_batch_size"),
    "batch size true": ("/mlops/settings", b'{"finetune_batch_size": true}', 422, "finetune_batch_size"),
    "epochs 21": ("/mlops/settings", b'{"finetune_epochs": 21}', 422, "finetune_epochs"),
    "unknown setting": ("/mlops/settings", b'{"finetune_batchsize": 5}', 422, "finetune_batchsize: unknown field"),
    "webhook of another scheme": ("/mlops/settings", b'{"finetune_webhook_url": "file:///etc"}', 422, "http"),
    "webhook with a space": ("/mlops/settings", b'{"finetune_webhook_url": "http://a b"}', 422, "valid host"),
    "webhook of 5,000": ("/mlops/settings", b'{"finetune_webhook_url": "http://%b"}' % (b"a" * 5000), 422, "2048"),
    "an unknown choice": ("/mlops/settings", b'{"answer_with": "nobody"}', 422, "found 'nobody'"),
    "teacher without one": ("/mlops/settings", b'{"answer_with": "teacher"}', 422, "OPENAI_API_KEY"),
    "settings as a list": ("/mlops/settings", b"[]", 422, "an object"),
    "unknown field of finetune": ("/mlops/finetune", b'{"forse": true}', 422, "forse: unknown field"),
    "finetune with nothing": ("/mlops/finetune", b'{"force": true}', 409, "eligible conversations"),
    "import of nothing": ("/mlops/conversations", b"[]", 422, "at least one conversation"),
    "import of an unfinished line": (
        "/mlops/conversations",
        b'{"messages": []}\n{"mess',
        400,
        "Expected a JSON object in line 2, found",
    ),
    "predict without input": ("/predict", b"{}", 422, "input: expected a value"),
    "predict of no message": ("/predict", b'{"input": ["a"]}', 422, "input: expected an object, found a string"),
    "predict with an unknown field": ("/invoke", b'{"input": "hi", "x": 1}', 422, "x: unknown field"),
    "predict of a number": ("/predict", b'{"input": 7}', 422, "input"),
    "unknown route": ("/v1/completions", b"{}", 404, "/docs"),
    "unknown admin route": ("/api/v1/admin/nothing", b"{}", 404, "/docs"),
}


@pytest.mark.parametrize(("path", "body", "status", "named"), BAD.values(), ids=BAD)
async def test_bad_input_is_refused_and_nothing_is_stored(
    client: httpx.AsyncClient, store: Store, engine: FakeEngine, path: str, body: bytes, status: int, named: str
) -> None:
    answer = await client.post(path, content=body)

    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert named in error["message"]
    assert "printer" not in answer.text, "an error quotes no prompt"
    assert not re.search("Body|pydantic|Input should|sys\\.", answer.text)
    assert store.conversations.counts().rows == 0
    assert not engine.asked


QUERIES = {
    "page 0": ("GET", "/mlops/conversations?page=0", "page"),
    "page_size 201": ("GET", "/mlops/conversations?page_size=201", "page_size"),
    "offset between pages": ("GET", "/mlops/conversations?limit=10&offset=5", "multiple"),
    "eligible maybe": ("GET", "/mlops/conversations?eligible=maybe", "eligible"),
    "offset beyond any": ("GET", f"/mlops/conversations?limit=1&offset={10**30}", "offset"),
    "offset of events beyond any": ("GET", f"/mlops/events?offset={10**30}", "offset"),
    "after beyond any": ("GET", f"/mlops/events?after={10**30}", "after"),
    "history beyond any": ("GET", f"/mlops/training-history?offset={10**30}", "offset"),
    "page beyond any": ("GET", f"/mlops/conversations?page={10**30}", "page"),
    "version beyond any": ("GET", f"/mlops/conversations?version={10**30}", "version"),
    "limit 0": ("GET", "/mlops/events?limit=0", "limit"),
    "after x": ("GET", "/mlops/events?after=x", "after: expected a whole number, found 'x'"),
    "offset -1": ("GET", "/mlops/training-history?offset=-1", "offset"),
    "erasure with a copy": ("DELETE", "/mlops/conversations?user_id=ann&backup=true", "not an erasure"),
    "erasure misspelt": ("DELETE", "/mlops/conversations?user=ann", "unknown field"),
}


@pytest.mark.parametrize(("method", "path", "named"), QUERIES.values(), ids=QUERIES)
async def test_a_bad_query_is_refused(client: httpx.AsyncClient, method: str, path: str, named: str) -> None:
    answer = await client.request(method, path)

    assert answer.status_code == 422, answer.text
    assert named in answer.json()["error"]["message"]


async def test_a_wrong_method_is_told_the_right_one(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/chat/completions")

    assert answer.status_code == 405
    assert "POST" in answer.json()["error"]["message"]
    assert (await client.put("/mlops/conversations")).headers["allow"] == "DELETE, GET, HEAD, POST"
    assert answer.json()["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize(("path", "status"), [("/health", 200), ("/ready", 200), (CHAT, 405), ("/nowhere", 404)])
async def test_head_answers_as_get_does_without_a_body(client: httpx.AsyncClient, path: str, status: int) -> None:
    whole, head = await client.get(path), await client.head(path, headers={"accept": "text/event-stream"})

    assert (head.status_code, head.content) == (status, b"")
    assert head.headers.get("content-length") == whole.headers.get("content-length")


async def test_a_param_of_a_query_is_named_as_it_was_sent(client: httpx.AsyncClient) -> None:
    assert (await client.get("/mlops/events?limit=x")).json()["error"]["param"] == "limit"


async def test_one_stop_text_is_understood(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    assert (await client.post(CHAT, content=chat([USER], stop="END"))).status_code == 200
    assert engine.asked[0]["stop"] == ["END"]


async def test_thirty_two_levels_are_not_too_deep(client: httpx.AsyncClient) -> None:
    answer = await client.post(CHAT, content=deep(31))

    assert "nesting" not in answer.json()["error"]["message"]


async def test_whole_surrogate_pairs_and_text_parts_are_understood(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    parts = [{"type": "text", "text": "안녕 "}, {"type": "text", "text": "\U0001f600"}]
    answer = await client.post(
        CHAT, content=chat([{"role": "developer", "content": "x"}, {"role": "user", "content": parts}])
    )

    assert answer.status_code == 200
    assert engine.asked[0]["messages"] == [
        {"role": "system", "content": "x"},
        {"role": "user", "content": "안녕 \U0001f600"},
    ]
