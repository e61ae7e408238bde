"""A model for agents: says what it is told to, in pieces, and keeps what it was asked."""

import asyncio
import json
import re
import threading
from collections.abc import AsyncGenerator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from wrappers.agent_run import Message, Piece


class TooLong(Exception):
    code = "context_length_exceeded"


class FakeModel:
    """`replies` one after the other, the last again and again; an exception among them is raised.

    More than `most` messages are too long for it. With `stuck` it says its first word and waits for ever.
    """

    def __init__(self, *replies: str | Exception, most: int = 1000, stuck: bool = False) -> None:
        self.replies, self.most, self.stuck = list(replies), most, stuck
        self.asked: list[tuple[str, list[Message], Mapping[str, Any]]] = []
        self.open = 0

    async def __call__(
        self, model: str, messages: Sequence[Message], parameters: Mapping[str, Any]
    ) -> AsyncGenerator[Piece, None]:
        self.asked.append((model, list(messages), parameters))
        self.open += 1
        try:
            if len(messages) > self.most:
                raise TooLong
            reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
            if isinstance(reply, Exception):
                raise reply
            for word in re.findall(r"\S+\s*", reply):
                yield Piece(word)
                if self.stuck:
                    await asyncio.Event().wait()
            yield Piece("", "stop")
        finally:
            self.open -= 1

    def heard(self) -> list[list[str]]:
        """Every request without the agent's own prompt."""
        return [[message["content"] for message in messages[1:]] for _, messages, _ in self.asked]


class OpenAiServer:
    """An OpenAI-compatible address on this machine that streams one reply again and again."""

    def __init__(self, reply: str) -> None:
        self.asked: list[dict[str, Any]] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.end_headers()
                for delta, finish in (({"content": reply}, None), ({}, "stop")):
                    choice = {"index": 0, "delta": delta, "finish_reason": finish}
                    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m"}
                    self.wfile.write(f"data: {json.dumps({**chunk, 'choices': [choice]})}\n\n".encode())
                self.wfile.write(b"data: [DONE]\n\n")

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
