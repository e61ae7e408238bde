"""The teacher: an OpenAI-compatible upstream that answers as the engine does, head first."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import httpx

from serve.engine_client import Body, Item
from serve.errors import ApiError, busy
from serve.turn import event, events

OPENAI = "https://api.openai.com/v1"
REFUSED = "teacher_refused"
_VLLM_ONLY = ("top_k", "min_p", "repetition_penalty", "min_tokens", "ignore_eos")


class Teacher:
    """Its key is sent to its own address alone; redirects are not followed, and its errors are not passed on."""

    def __init__(
        self, base_url: str, api_key: str, model: str, seconds: float, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._model = model
        self._http = httpx.AsyncClient(
            base_url=base_url or OPENAI, headers=headers, timeout=seconds, transport=transport
        )

    async def chat(self, body: Body) -> AsyncGenerator[Item, None]:
        """See EngineClient.chat; the name in `body["model"]` is replaced by the teacher's own."""
        sent = {name: value for name, value in body.items() if name not in _VLLM_ONLY} | {"model": self._model}
        try:
            async with self._http.stream("POST", "chat/completions", json=sent) as response:
                _refuse(response)
                if not body.get("stream"):
                    await response.aread()
                    yield {"status": 200, "json": _reply(response)}
                    return
                yield {"status": 200}
                async for said in _events(response):
                    yield event(said)
        except httpx.HTTPError as error:
            message = f"Expected the teacher to answer, found {type(error).__name__}"
            raise ApiError(502, message, code="teacher_unavailable") from None

    async def close(self) -> None:
        await self._http.aclose()


async def _events(response: httpx.Response) -> AsyncGenerator[str, None]:
    """The data of each event as soon as its line is whole; httpx would end lines inside of JSON, see `events`."""
    left = ""
    async for piece in response.aiter_text():
        whole, ended, left = (left + piece).rpartition("\n")
        for said in events(whole + ended):
            yield said
    for said in events(left):
        yield said


def _refuse(response: httpx.Response) -> None:
    status = response.status_code
    if status == 429:
        raise busy("Expected the teacher to have room, found its rate limit reached", "teacher_busy", 5)
    if status in (400, 422):
        message = f"Expected a request that the teacher takes, found it refused with {status}"
        raise ApiError(400, message, code=REFUSED)
    if 400 <= status < 500:
        message = (
            f"Expected the teacher to take our key and model, found them refused with {status}: check the settings"
        )
        raise ApiError(502, message, code=REFUSED)
    if status != 200:
        raise ApiError(502, f"Expected an answer of the teacher, found status {status}", code="teacher_failed")


def _reply(response: httpx.Response) -> Mapping[str, Any]:
    try:
        reply = response.json()
    except ValueError:
        reply = None
    if not isinstance(reply, dict):
        raise ApiError(502, "Expected JSON of the teacher, found something else", code="teacher_failed")
    return reply
