"""The teacher, an OpenAI-compatible upstream, behind the same routes."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from resources.store import Store
from serve.teacher import Teacher
from tests.fakes import FakeEngine, FakeFollower

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {"model": "teacher", "messages": [{"role": "user", "content": "My printer?"}]}
STRANGE_ENDS = "one\u2028two\u2029three\x85four"
SEEN: list[httpx.Request] = []


def upstream(answer: Callable[[dict[str, Any]], httpx.Response]) -> dict[str, Any]:
    def handle(request: httpx.Request) -> httpx.Response:
        SEEN.append(request)
        return answer(json.loads(request.content))

    teacher = Teacher("http://teacher.example/v1", "sk-secret", "gpt-x", 5.0, httpx.MockTransport(handle))
    return {"teacher": teacher}


def chunk(delta: dict[str, Any], finish: str | None = None) -> str:
    return f"data: {json.dumps({'id': 'u', 'model': 'gpt-x', 'choices': [{'index': 0, 'delta': delta, 'finish_reason': finish}]})}\n\n"  # noqa: E501


def lesson(body: dict[str, Any]) -> httpx.Response:
    if body.get("stream"):
        text = chunk({"content": "Turn it"}) + chunk({"content": " on."}) + chunk({}, "stop") + "data: [DONE]\n\n"
        return httpx.Response(200, text=text, headers={"content-type": "text/event-stream"})
    message = {"role": "assistant", "content": "Turn it on."}
    return httpx.Response(200, json={"id": "u", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    SEEN.clear()


def pasted(_: dict[str, Any]) -> httpx.Response:
    line = json.dumps({"choices": [{"index": 0, "delta": {"content": STRANGE_ENDS}}]}, ensure_ascii=False)
    text = f"data: {line}\r\n\r\n{chunk({}, 'stop')}data: [DONE]"
    return httpx.Response(200, text=text, headers={"content-type": "text/event-stream"})


@pytest.mark.parametrize("changes", [upstream(pasted)])
async def test_what_python_takes_for_ends_of_lines_breaks_no_reply(
    client: httpx.AsyncClient, store: Store, changes: Any
) -> None:
    answer = await client.post(CHAT, json=ASK | {"stream": True})

    assert answer.text.endswith("data: [DONE]\n\n")
    stored = store.conversations.get(answer.headers["x-whetstone-conversation"])
    assert stored is not None
    assert (stored.conversation.reply, stored.conversation.complete) == (STRANGE_ENDS, True)


@pytest.mark.parametrize("changes", [upstream(lesson)])
@pytest.mark.parametrize("stream", [False, True])
async def test_its_replies_are_training_data(
    client: httpx.AsyncClient, store: Store, changes: Any, stream: bool
) -> None:
    answer = await client.post(CHAT, json=ASK | {"stream": stream, "top_k": 5, "temperature": 0})

    assert answer.headers["x-whetstone-model"] == "teacher"
    stored = store.conversations.get(answer.headers["x-whetstone-conversation"])
    assert stored is not None
    assert (stored.conversation.reply, stored.conversation.provenance) == ("Turn it on.", "teacher")
    assert (stored.eligible, store.conversations.counts().waiting) == (True, 1)
    (request,) = SEEN
    assert request.url == "http://teacher.example/v1/chat/completions"
    assert request.headers["authorization"] == "Bearer sk-secret"
    sent = json.loads(request.content)
    assert (sent["model"], sent["temperature"], "top_k" in sent) == ("gpt-x", 0, False)


FAILURES = {
    "key refused": (httpx.Response(401, text="bad key sk-secret"), 502),
    "rate limit": (httpx.Response(429), 503),
    "request refused": (httpx.Response(400, text="your prompt was"), 400),
    "server error": (httpx.Response(500), 502),
    "redirect": (httpx.Response(302, headers={"location": "http://evil.example"}), 502),
    "no JSON": (httpx.Response(200, text="<html>"), 502),
}


@pytest.mark.parametrize(
    ("changes", "status"),
    [(upstream(lambda _, found=found: found), status) for found, status in FAILURES.values()],  # type: ignore[misc]
    ids=FAILURES,
)
async def test_its_errors_are_told_in_our_words(
    client: httpx.AsyncClient, store: Store, changes: Any, status: int
) -> None:
    answer = await client.post(CHAT, json=ASK)

    assert answer.status_code == status
    assert "teacher" in answer.json()["error"]["message"]
    assert "sk-secret" not in answer.text
    assert "prompt" not in answer.text
    assert len(SEEN) == 1
    assert store.conversations.counts().rows == 0


def unreachable(_: Any) -> httpx.Response:
    raise httpx.ConnectError("no route to host")


@pytest.mark.parametrize("changes", [upstream(unreachable)])
async def test_a_teacher_out_of_reach_is_a_502(client: httpx.AsyncClient, changes: Any) -> None:
    answer = await client.post(CHAT, json=ASK)

    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "teacher_unavailable")


# answer_with, champion, who answers as production
WISHES = [
    ("student", "base", "base"),
    ("teacher", "v1", "teacher"),
    ("auto", "base", "teacher"),
    ("auto", "v1", "v1"),
]


@pytest.mark.parametrize("changes", [upstream(lesson)])
@pytest.mark.parametrize(("wish", "champion", "answers"), WISHES)
async def test_who_answers_as_production_is_a_setting(
    client: httpx.AsyncClient,
    follower: FakeFollower,
    engine: FakeEngine,
    changes: Any,
    wish: str,
    champion: str,
    answers: str,
) -> None:
    follower.current = champion
    await client.post("/mlops/settings", json={"answer_with": wish})
    answer = await client.post("/chat", json={"message": "Hi"})

    assert answer.headers["x-whetstone-model"] == answers
    assert answer.json()["mlops_info"]["current_version"] == champion


@pytest.fixture
def stored_wish(store: Store) -> None:
    """Before the ingress starts, which reads the settings then, and after that only now and again."""
    store.settings.change({"answer_with": "teacher"}, "a person")


@pytest.mark.usefixtures("stored_wish")
async def test_a_wish_for_a_teacher_that_is_gone_leaves_the_champion_answering(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    answers = [await client.post("/chat", json={"message": "Hi"}) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert {answer.headers["x-whetstone-tier"] for answer in answers} == {"primary"}
    assert len([one for one in caplog.messages if "answer_with is teacher" in one]) == 1


@pytest.mark.parametrize("changes", [upstream(lesson)])
async def test_it_is_listed_where_there_is_one(client: httpx.AsyncClient, changes: Any) -> None:
    assert "teacher" in [model["id"] for model in (await client.get("/v1/models")).json()["data"]]
