"""Chat requests that go on, one at a time, while the loop runs: what a user sees of a swap."""

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Self

import httpx

from deploy.client import Client

_MESSAGES = ("Hello, are you there?", "Tell me one short fact.", "What should I cook today?", "Good morning.")


@dataclass
class Seen:
    """What the requests saw: how many, by whom answered, the first answer of each version, and each failure."""

    sent: int = 0
    by_model: Counter[str] = field(default_factory=Counter)
    first: dict[str, float] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0


class BackgroundChat:
    """Sends small chats in a thread of its own until it is left; times are those of the wall clock."""

    def __init__(self, url: str, *, pause: float = 2.0, max_tokens: int = 8) -> None:
        self.seen = Seen()
        self.pause = pause
        self._max_tokens = max_tokens
        self._client = Client(url)
        self._ended = threading.Event()
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="background-chat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._client.close()

    def wait_for(self, model: str, timeout: float) -> float | None:
        """Wall clock time of the first answer by this model, or None when the time is over."""
        with self._news:
            self._news.wait_for(lambda: model in self.seen.first, timeout)
        return self.seen.first.get(model)

    def _run(self) -> None:
        while not self._ended.is_set():
            self._one(_MESSAGES[self.seen.sent % len(_MESSAGES)])
            self._ended.wait(self.pause)

    def _one(self, message: str) -> None:
        began = time.monotonic()
        model, failure = "", ""
        try:
            model = self._client.ask(message, max_tokens=self._max_tokens).model
        except (httpx.HTTPError, KeyError, ValueError) as error:
            failure = f"{time.strftime('%H:%M:%S')} {type(error).__name__}: {error}"
        with self._news:
            self.seen.sent += 1
            self.seen.slowest = max(self.seen.slowest, time.monotonic() - began)
            if failure:
                self.seen.failures.append(failure)
            else:
                self.seen.by_model[model] += 1
                self.seen.first.setdefault(model, time.time())
            self._news.notify_all()
