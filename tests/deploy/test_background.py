"""The chats sent while the loop runs: counted, timed, and every failure kept."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import ClassVar

import pytest

from deploy.background import BackgroundChat


class _Ingress(BaseHTTPRequestHandler):
    models: ClassVar[list[str | None]] = []  # None answers 503; the last one is repeated

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        model = self.models.pop(0) if len(self.models) > 1 else self.models[0]
        body = json.dumps({"choices": [{"message": {"content": "Hi"}}]}).encode()
        self.send_response(200 if model else 503)
        self.send_header("x-whetstone-model", model or "")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return None


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Ingress)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_first_answer_of_a_new_version_is_waited_for_and_timed(url: str) -> None:
    _Ingress.models = ["base", "base", "v1"]
    with BackgroundChat(url, pause=0.001) as chat:
        at = chat.wait_for("v1", timeout=10)
    assert at is not None
    assert at >= chat.seen.first["base"]
    assert chat.seen.by_model["base"] == 2
    assert chat.seen.failures == []


def test_every_failed_request_is_counted_and_told(url: str) -> None:
    _Ingress.models = ["base", None, "base", None, "v1"]
    with BackgroundChat(url, pause=0.001) as chat:
        chat.wait_for("v1", timeout=10)
    assert len(chat.seen.failures) == 2
    assert all("503" in failure for failure in chat.seen.failures)
    assert chat.seen.sent == chat.seen.by_model.total() + 2


def test_waiting_for_a_version_that_does_not_come_ends_with_none(url: str) -> None:
    _Ingress.models = ["base"]
    with BackgroundChat(url, pause=0.001) as chat:
        assert chat.wait_for("v9", timeout=0.05) is None
