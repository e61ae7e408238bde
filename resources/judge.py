"""The judge: an OpenAI-compatible model that compares answers, where one is configured."""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from core.judging import Comparison, prefer
from core.verdict import Preference

log = logging.getLogger(__name__)

OPENAI = "https://api.openai.com/v1"
AT_ONCE = 4
TRIES = 3
MOST_BYTES = 2**20
SECONDS = 60.0
# as the trainer's lease is held by another thread, a slow judge costs time alone; this much at most
ALL_SECONDS = 900.0


class JudgeFailed(Exception):
    """The judge did not answer, or not with an opinion; the message holds nothing that was sent or said."""


class Judge:
    """Its key is sent to its own address alone and stands in no message."""

    def __init__(
        self,
        base_url: str,
        api_key: str,
        model: str,
        transport: httpx.BaseTransport | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._model, self._pause = model, pause
        self._http = httpx.Client(
            base_url=base_url or OPENAI, headers=headers, timeout=SECONDS, follow_redirects=False, transport=transport
        )

    def __call__(self, comparisons: Sequence[Comparison]) -> list[Preference]:
        """Both orders of each pair; nothing where any of them could not be had, and the gate fails for it."""
        ends = time.monotonic() + ALL_SECONDS
        try:
            with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="judge") as pool:
                parts = list(pool.map(lambda one: prefer([one], lambda asked: self._ask(asked, ends)), comparisons))
        except (JudgeFailed, ValueError) as failed:
            log.warning("The judge gave no opinion: %s", failed)
            return []
        return [preference for part in parts for preference in part]

    def close(self) -> None:
        self._http.close()

    def _ask(self, messages: list[dict[str, str]], ends: float) -> str:
        """One answer; tried again after a pause where the upstream is busy or away."""
        for number in range(TRIES):
            if time.monotonic() > ends:
                raise JudgeFailed(f"Expected all opinions within {ALL_SECONDS:g} s, found it too slow")
            try:
                response = self._http.post("chat/completions", json={"model": self._model, "messages": messages})
            except httpx.HTTPError as error:
                said = type(error).__name__
            else:
                if response.status_code == 200:
                    return _content(response)
                said = f"status {response.status_code}"
                if response.status_code not in (408, 409, 429) and response.status_code < 500:
                    break
            if number + 1 < TRIES:
                self._pause(2.0**number)
        raise JudgeFailed(f"Expected an answer of the judge, found {said}: look at JUDGE_BASE_URL, JUDGE_API_KEY")


def _content(response: httpx.Response) -> str:
    if len(response.content) > MOST_BYTES:
        raise JudgeFailed(f"Expected an answer of at most {MOST_BYTES} bytes of the judge, found more")
    try:
        body: Any = response.json()
        content = body["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError):
        content = None
    if not isinstance(content, str):
        raise JudgeFailed("Expected a chat completion of the judge, found something else")
    return content
