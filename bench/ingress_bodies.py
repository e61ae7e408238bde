"""The requests of `bench.ingress`, as bytes: each another question, so that none is a duplicate."""

import itertools
import json

PATH = "/v1/chat/completions"
_SYSTEM = "You help people with their printers and answer in the language of the question."
_QUESTION = "My printer has not printed for {number} days: the lights blink and two printers are shown. 어떻게 하죠?"


class Bodies:
    """Numbered over the whole run."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def take(self, number: int, port: int) -> list[bytes]:
        """That many requests to a server at `port`."""
        return [_request(next(self._numbers), port) for _ in range(number)]


def _request(number: int, port: int) -> bytes:
    messages = [
        {"role": "system", "content": _SYSTEM},
        {"role": "user", "content": _QUESTION.format(number=number)},
    ]
    body = {
        "model": "production",
        "messages": messages,
        "max_tokens": 128,
        "temperature": 0.7,
        "user": f"u{number % 97}",
    }
    data = json.dumps(body, ensure_ascii=False).encode()
    head = f"POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(data)}\r\n\r\n".encode() + data
