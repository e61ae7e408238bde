"""The unmodified `openai` client against the ingress in a real HTTP server."""

import threading
from collections.abc import Iterator

import openai
import pytest
import uvicorn
from fastapi import FastAPI

from resources.store import Store
from serve.api import IngressDeps, build_api


class Server(uvicorn.Server):
    """Uvicorn in a thread; `started_event` is set once it listens."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(uvicorn.Config(app, port=0, log_level="error"))
        self.listens = threading.Event()

    async def startup(self, sockets: object = None) -> None:
        await super().startup()
        self.listens.set()

    @property
    def port(self) -> int:
        return int(self.servers[0].sockets[0].getsockname()[1])


@pytest.fixture
def client(deps: IngressDeps) -> Iterator[openai.OpenAI]:
    server = Server(build_api(deps))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert server.listens.wait(10)
    with openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="none", max_retries=0) as opened:
        yield opened
    server.should_exit = True
    thread.join(10)


def test_a_whole_reply(client: openai.OpenAI, store: Store) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="production",
        messages=[{"role": "user", "content": "My printer?"}],
        user="ann",
        metadata={"conversation_id": "t1"},
        temperature=0,
    )
    reply = raw.parse()

    assert reply.choices[0].message.content == "Check the cable."
    assert reply.model == raw.headers["x-whetstone-model"] == "base"
    assert reply.usage is not None
    stored = store.conversations.get(reply.id)
    assert stored is not None
    assert stored.conversation.thread_id == "t1"


def test_a_streamed_reply(client: openai.OpenAI, store: Store) -> None:
    stream = client.chat.completions.create(
        model="production", messages=[{"role": "user", "content": "My printer?"}], stream=True
    )
    chunks = list(stream)

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Check the cable."
    assert chunks[-1].choices[0].finish_reason == "stop"
    stored = store.conversations.get(chunks[0].id)
    assert stored is not None
    assert stored.conversation.complete


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["production", "base", "v1", "v2"]


def test_errors_are_the_clients_own(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="gpt-9", messages=[{"role": "user", "content": "Hi"}])
    with pytest.raises(openai.BadRequestError, match="at least one message"):
        client.chat.completions.create(model="base", messages=[])

    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
