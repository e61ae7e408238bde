"""The agent behind the ingress: whom it answers, what it remembers of whom, and what becomes of its replies."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from resources.agent_memory import FILE_NAME, AgentMemory
from resources.store import Store
from serve.agent import AgentOptions, AgentService, thread_key
from serve.agent_client import AgentClient
from serve.api import build_api
from serve.auth import Keys
from serve.engine_client import AdapterNotServed, EngineBusy, EngineUnavailable
from serve.errors import ApiError
from tests.fakes import FakeEngine, FakeFollower
from tests.serve.asgi_call import AsgiCall
from wrappers.agent_files import BUILT_IN, from_folder
from wrappers.agent_run import AgentLimits

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
REPLY = "Check the cable."


def ask(text: str = "My printer is dead.", user: str | None = "ann", thread: str | None = "t1", **more: Any) -> Any:
    metadata = {"conversation_id": thread} if thread else {}
    named = {"user": user} if user else {}
    return {"model": "agent", "messages": [{"role": "user", "content": text}], "metadata": metadata, **named, **more}


@pytest.fixture
def limits() -> AgentLimits:
    return AgentLimits()


@pytest.fixture
def options(tmp_path: Path, limits: AgentLimits) -> AgentOptions:
    return AgentOptions(tmp_path, limits=limits)


@pytest.fixture
async def service(engine: FakeEngine, options: AgentOptions) -> AsyncIterator[AgentService]:
    made = AgentService(engine, options)
    yield made
    await made.close()


@pytest.fixture
def changes(service: AgentService, tmp_path: Path) -> dict[str, Any]:
    forget = AgentMemory(tmp_path / FILE_NAME).forget_user
    return {"agent": AgentClient(service.run), "make_wrapper": None, "forget": forget}


def heard(engine: FakeEngine) -> list[list[str]]:
    """What the engine was asked, without the agent's own prompt."""
    return [[message["content"] for message in body["messages"][1:]] for body in engine.asked]


async def test_the_agent_answers_and_the_header_names_the_version_that_wrote(
    client: httpx.AsyncClient, engine: FakeEngine, follower: FakeFollower, store: Store
) -> None:
    follower.current = "v2"
    answer = await client.post(CHAT, json=ask())

    assert answer.json()["choices"][0]["message"] == {"role": "assistant", "content": REPLY}
    assert (answer.headers["x-whetstone-model"], answer.json()["model"]) == ("v2", "v2")
    assert [body["model"] for body in engine.asked] == ["v2"]
    stored = store.conversations.get(answer.headers["x-whetstone-conversation"])
    assert stored is not None
    kept = stored.conversation
    assert (kept.model, kept.provenance, kept.source, kept.complete) == ("v2", "self", "agent", True)
    assert (kept.user_id, kept.thread_id, kept.reply) == ("ann", "t1", REPLY)


async def test_a_thread_is_remembered_and_captured_with_what_the_reply_answers(
    client: httpx.AsyncClient, engine: FakeEngine, store: Store
) -> None:
    await client.post(CHAT, json=ask())
    answer = await client.post(CHAT, json=ask("And now?"))

    assert heard(engine)[-1] == ["My printer is dead.", REPLY, "And now?"]
    stored = store.conversations.get(answer.headers["x-whetstone-conversation"])
    assert stored is not None
    assert [message.content for message in stored.conversation.messages] == ["My printer is dead.", REPLY, "And now?"]


async def test_what_is_not_to_be_kept_is_not_remembered_either(
    client: httpx.AsyncClient, engine: FakeEngine, store: Store
) -> None:
    await client.post(CHAT, json=ask("My secret is blue.", store=False))
    answer = await client.post(CHAT, json=ask("And now?"))

    assert heard(engine)[-1] == ["And now?"]
    stored = store.conversations.get(answer.headers["x-whetstone-conversation"])
    assert stored is not None
    assert [message.content for message in stored.conversation.messages] == ["And now?"]


async def test_it_streams_as_the_openai_api_does(client: httpx.AsyncClient, store: Store) -> None:
    answer = await client.post(CHAT, json=ask(stream=True))

    *chunks, done = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    assert done == "[DONE]"
    parsed = [json.loads(chunk) for chunk in chunks]
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in parsed) == REPLY
    assert parsed[-1]["choices"][0]["finish_reason"] == "stop"
    id = answer.headers["x-whetstone-conversation"]
    assert {(chunk["id"], chunk["model"], chunk["object"]) for chunk in parsed} == {
        (id, "base", "chat.completion.chunk")
    }
    stored = store.conversations.get(id)
    assert stored is not None
    assert stored.conversation.complete


async def test_nobody_reads_the_memory_of_another(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    await client.post(CHAT, json=ask("I am Ann and my secret is 7."))
    for other in (ask("?", user="bea"), ask("?", thread="t2"), ask("?", user=None), ask("?", thread=None)):
        assert (await client.post(CHAT, json=other)).status_code == 200

    assert heard(engine)[1:] == [["?"]] * 4


async def test_a_thread_without_a_user_is_nobodys_and_is_not_remembered(
    client: httpx.AsyncClient, engine: FakeEngine, tmp_path: Path
) -> None:
    for _ in range(2):
        await client.post(CHAT, json=ask(user=None))

    assert heard(engine) == [["My printer is dead."]] * 2
    assert not (tmp_path / FILE_NAME).exists()


def test_a_thread_belongs_to_the_key_it_came_with() -> None:
    question = {"user_id": "ann", "thread_id": "t1", "caller": "api"}
    keys = {thread_key(question | {"caller": caller}) for caller in ("api", "admin", "local")}
    assert len(keys) == 3
    assert thread_key({"user_id": "a", "thread_id": "b,c", "caller": ""}) != thread_key(
        {"user_id": "a,b", "thread_id": "c", "caller": ""}
    )


async def test_the_caller_reaches_the_thread(
    engine: FakeEngine, changes: dict[str, Any], deps: Any, options: AgentOptions
) -> None:
    built = build_api(replace(deps, **changes, keys=Keys(True, "one", "two")))
    async with (
        built.router.lifespan_context(built),
        httpx.AsyncClient(transport=httpx.ASGITransport(built), base_url="http://127.0.0.1:8000") as client,
    ):
        for key in ("one", "two", "one"):
            answer = await client.post(CHAT, json=ask(), headers={"authorization": f"Bearer {key}"})
            assert answer.status_code == 200

    assert [len(messages) for messages in heard(engine)] == [1, 1, 3]


async def test_an_erasure_reaches_the_memory_at_once(
    client: httpx.AsyncClient, engine: FakeEngine, tmp_path: Path
) -> None:
    for user in ("ann", "bea"):
        await client.post(CHAT, json=ask("My secret is 7.", user=user))
    assert (await client.delete("/mlops/conversations", params={"user_id": "ann"})).status_code == 200
    for user in ("ann", "bea"):
        await client.post(CHAT, json=ask("What is it?", user=user))

    assert [len(messages) for messages in heard(engine)[2:]] == [1, 3]


async def test_an_erasure_during_a_run_is_not_undone_by_its_end(
    api: Any, client: httpx.AsyncClient, engine: FakeEngine, tmp_path: Path
) -> None:
    engine.pause_after = 1
    call = AsgiCall.json(api, CHAT, ask("My secret is 7."))
    await engine.paused.wait()
    await client.delete("/mlops/conversations", params={"user_id": "ann"})
    engine.go_on.set()
    await call.task

    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as file:
        assert file.execute("SELECT count(*) FROM checkpoints").fetchone() == (0,)
    assert AgentMemory(tmp_path / FILE_NAME).users() == set()


async def test_who_hangs_up_frees_the_engine_and_is_remembered_by_nothing(
    api: Any, engine: FakeEngine, client: httpx.AsyncClient
) -> None:
    engine.pause_after = 1
    call = AsgiCall.json(api, CHAT, ask())
    await engine.paused.wait()
    call.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call.task
    async with asyncio.timeout(5):
        await engine.ended.wait()
    engine.pause_after = None
    await client.post(CHAT, json=ask("Again."))

    assert heard(engine)[-1] == ["Again."]


@pytest.mark.parametrize("limits", [AgentLimits(seconds=0.1)])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_run_over_its_time_says_so_and_frees_the_engine(
    client: httpx.AsyncClient, engine: FakeEngine, stream: bool
) -> None:
    engine.pause_after = 0
    answer = await client.post(CHAT, json=ask(stream=stream))
    async with asyncio.timeout(5):
        await engine.ended.wait()

    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "agent_time")
    assert "AGENT_TIMEOUT_SECONDS" in answer.json()["error"]["message"]
    assert engine.closed == 1


@pytest.mark.slow  # a second has to pass
@pytest.mark.parametrize("limits", [AgentLimits(seconds=1)])
async def test_a_stream_that_runs_out_of_time_ends_with_the_error_and_is_kept_incomplete(
    client: httpx.AsyncClient, engine: FakeEngine, store: Store
) -> None:
    engine.words, engine.pause_after = ("Please look at the", " cable of it first", " of all."), 2
    answer = await client.post(CHAT, json=ask(stream=True, thread=None))

    last = json.loads([line for line in answer.text.splitlines() if line][-1].removeprefix("data: "))
    assert last["error"]["code"] == "agent_time"
    await asyncio.sleep(0.1)
    stored = store.conversations.get(answer.headers["x-whetstone-conversation"])
    assert stored is not None
    assert not stored.conversation.complete


@pytest.mark.parametrize("limits", [AgentLimits(steps=2)])
async def test_a_run_of_too_many_steps_says_so(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.head = {"status": 400, "json": {"error": {"message": "This model's maximum context length is 9 tokens"}}}
    thread = [{"role": role, "content": "word " * 9} for role in ("user", "assistant") * 10]
    answer = await client.post(CHAT, json=ask() | {"messages": [*thread, *ask()["messages"]]})

    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "agent_steps")
    assert "AGENT_MAX_STEPS" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("raised", "status", "code"),
    [
        (EngineBusy("full"), 503, "engine_busy"),
        (EngineUnavailable("dead"), 503, "engine_unavailable"),
        (AdapterNotServed("broken"), 503, "adapter_not_served"),
        (RuntimeError("what it was"), 500, "internal_error"),
    ],
)
async def test_what_the_engine_raises_is_answered_as_ever(
    client: httpx.AsyncClient, engine: FakeEngine, raised: Exception, status: int, code: str
) -> None:
    engine.raises = raised
    answer = await client.post(CHAT, json=ask())

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert "what it was" not in answer.text


async def test_an_agent_that_fails_again_and_again_is_left_alone_and_chat_goes_on(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.raises = RuntimeError("broken")
    for _ in range(5):
        assert (await client.post(CHAT, json=ask())).status_code == 500
    refused = await client.post(CHAT, json=ask())
    engine.raises = None
    chat = await client.post(CHAT, json=ask() | {"model": "production"})

    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "circuit_open")
    assert chat.status_code == 200


async def test_a_thread_too_long_for_the_model_is_a_400_only_where_nothing_can_be_left_out(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.head = {"status": 400, "json": {"error": {"message": "This model's maximum context length is 9 tokens"}}}
    answer = await client.post(CHAT, json=ask())

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")


async def test_a_memory_that_cannot_be_opened_is_an_error_and_no_loss_for_who_has_no_thread(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"no database at all" * 100)
    refused = await client.post(CHAT, json=ask())

    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "agent_memory_unavailable")
    assert (await client.post(CHAT, json=ask(thread=None))).status_code == 200
    assert (await client.delete("/mlops/conversations", params={"user_id": "ann"})).status_code == 200


async def test_a_run_that_ends_without_its_end_is_broken_off() -> None:
    async def runs(question: Any) -> Any:
        yield {"began": []}
        yield {"delta": "Half a"}

    body = {"messages": [], "agent": {}, "model": "agent", "stream": False}
    with pytest.raises(ApiError, match="broken off"):
        [item async for item in AgentClient(runs).chat(body)]


async def test_chat_goes_on_without_an_agent(client: httpx.AsyncClient, deps: Any) -> None:
    built = build_api(replace(deps, agent=None))
    async with (
        built.router.lifespan_context(built),
        httpx.AsyncClient(transport=httpx.ASGITransport(built), base_url="http://127.0.0.1:8000") as plain,
    ):
        refused = await plain.post(CHAT, json=ask())
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")
        assert "AGENT_ENABLED" in refused.json()["error"]["message"]
        assert (await plain.post(CHAT, json=ask() | {"model": "production"})).status_code == 200


async def test_the_prompt_is_in_the_language_of_the_question(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.words = ("프린터 ", "케이블을 ", "확인해 주세요.")
    answer = await client.post(CHAT, json=ask("프린터가 고장입니다."))

    assert "한국어" in engine.asked[0]["messages"][0]["content"]
    assert answer.json()["choices"][0]["message"]["content"] == "프린터 케이블을 확인해 주세요."


async def test_the_models_list_names_the_agent(client: httpx.AsyncClient) -> None:
    names = [model["id"] for model in (await client.get("/v1/models")).json()["data"]]
    assert names == ["production", "base", "v1", "v2", "agent"]
    assert (await client.get("/v1/models/agent")).json()["id"] == "agent"
    assert (await client.get("/api/v1/circuit-breaker/status")).json()["agent"]["state"] == "CLOSED"


@pytest.mark.parametrize(("field", "value"), [("n", 2), ("logprobs", True)])
async def test_what_a_run_cannot_give_is_refused(client: httpx.AsyncClient, field: str, value: Any) -> None:
    answer = await client.post(CHAT, json=ask(**{field: value}))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)


async def test_what_the_client_wishes_of_the_model_reaches_it(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    await client.post(CHAT, json=ask(temperature=0.5, max_tokens=7, stop=["x"]))
    asked = engine.asked[0]
    assert (asked["temperature"], asked["max_tokens"], asked["stop"], asked["stream"]) == (0.5, 7, ["x"], True)


class TestAGraphOfTheRegistry:
    @pytest.fixture
    def options(self, tmp_path: Path) -> AgentOptions:
        return AgentOptions(tmp_path, f"sqlite:///{tmp_path}/mlflow.db", "models:/our-agent@production")

    async def test_that_was_never_seen_is_waited_for_and_chat_goes_on(self, client: httpx.AsyncClient) -> None:
        refused = await client.post(CHAT, json=ask())
        again = await client.post(CHAT, json=ask())

        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "agent_not_loaded")
        assert refused.headers["retry-after"] == again.headers["retry-after"] == "5"
        assert (await client.post(CHAT, json=ask() | {"model": "production"})).status_code == 200

    async def test_that_was_loaded_before_is_run_while_the_registry_is_away(
        self, client: httpx.AsyncClient, engine: FakeEngine, tmp_path: Path
    ) -> None:
        files = from_folder(BUILT_IN)
        own = replace(files, contents={**files.contents, "prompts.yaml": _terse(files.contents["prompts.yaml"])})
        kept = tmp_path / "agent_graphs" / own.digest
        kept.mkdir(parents=True)
        for name, content in own.contents.items():
            (kept / name).write_bytes(content)
        last = {"uri": "models:/our-agent@production", "version": "models:/our-agent/3", "digest": own.digest}
        (kept.parent / "last.json").write_text(json.dumps(last))
        answer = await client.post(CHAT, json=ask())

        assert answer.status_code == 200
        assert "terse" in engine.asked[0]["messages"][0]["content"]


def _terse(prompts: bytes) -> bytes:
    return prompts.replace(b"friendly and accurate", b"terse")
