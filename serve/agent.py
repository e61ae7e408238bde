"""The agent as a service in its own process: the wrapper, whose threads it remembers, and its errors as answers."""

import asyncio
import hashlib
import json
import logging
import sqlite3
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resources import mlflow_store
from resources.agent_memory import FILE_NAME, AgentMemory
from resources.settings import Settings
from serve.agent_engine import engine_ask
from serve.errors import ApiError, api_error, busy
from serve.guarded import Chats
from wrappers.agent import LangGraphWrapper
from wrappers.agent_files import BUILT_IN, AgentRefused
from wrappers.agent_run import AgentLimits, AgentRequest, AgentStopped, Began, Delta

log = logging.getLogger(__name__)

_RETRY_SECONDS = 5.0
# what clients may set, of which one run of several calls makes sense
_NOT_FOR_A_RUN = ("n", "logprobs", "top_logprobs", "stream_options")


@dataclass(frozen=True)
class AgentOptions:
    """`model_uri` None: the built-in graph. `home` is the state folder, where memory and loaded graphs lie."""

    home: Path
    tracking_uri: str = ""
    model_uri: str | None = None
    limits: AgentLimits = field(default_factory=AgentLimits)
    most_threads: int = 100_000

    @classmethod
    def of(cls, settings: Settings) -> "AgentOptions":
        """As the settings say."""
        alias = settings.mlflow_model_stage.lower()
        limits = AgentLimits(
            steps=settings.agent_max_steps,
            seconds=settings.agent_timeout_seconds,
            memory_messages=settings.agent_memory_messages,
            memory_bytes=settings.agent_memory_bytes,
        )
        return cls(
            settings.state_dir,
            settings.mlflow_tracking_uri,
            f"models:/{settings.agent_model_name}@{alias}" if settings.agent_model_name else None,
            limits,
            settings.agent_memory_threads,
        )


class AgentService:
    """Nothing is loaded before the first question: a start waits for no graph, and chat never does."""

    def __init__(self, engine: Chats, options: AgentOptions) -> None:
        self._options = options
        self._memory = AgentMemory(options.home / FILE_NAME, options.most_threads)
        self._wrapper = LangGraphWrapper(
            engine_ask(engine),
            memory=self._memory.path,
            cache=options.home / "agent_graphs",
            limits=options.limits,
        )
        self._loading = asyncio.Lock()
        self._loaded = False
        self._refused: tuple[float, ApiError] | None = None

    async def run(self, question: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """`{"began": messages}`, `{"delta": text}` …, `{"done": finish}`; or, at any time and last, `{"error": …}`.

        Closing it ends the run. It never raises, as not every error can be sent to another process.
        """
        try:
            await self._load()
            async with aclosing(self._answer(question)) as items:
                async for item in items:
                    yield item
        except Exception as error:  # noqa: BLE001 -- the edge of this process: every exception has its answer
            yield {"error": _told(error)}

    async def close(self) -> None:
        await self._wrapper.close()

    async def _answer(self, question: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        thread, user = thread_key(question), question.get("user_id")
        request = AgentRequest(
            messages=tuple(question["messages"]),
            model=question["model"],
            thread=thread,
            parameters={name: value for name, value in question["parameters"].items() if name not in _NOT_FOR_A_RUN},
            features=question.get("features") or {},
        )
        number = await asyncio.to_thread(self._memory.begin, thread, str(user)) if thread else 0
        try:
            async with aclosing(self._wrapper.stream(request)) as said:
                async for piece in said:
                    yield _item(piece)
        finally:
            if thread:  # an erasure meanwhile must not be undone by what this turn wrote
                await asyncio.shield(asyncio.to_thread(self._memory.settle, thread, number))

    async def _load(self) -> None:
        async with self._loading:
            if self._loaded:
                return
            if self._refused and time.monotonic() < self._refused[0]:
                raise self._refused[1]
            try:
                await asyncio.to_thread(self._load_now)
            except (AgentRefused, mlflow_store.MlflowUnavailable) as error:
                log.error("the agent cannot be loaded: %s", error)
                refused = busy(f"Expected the agent's graph, found none: {error}"[:500], "agent_not_loaded", 5)
                self._refused = (time.monotonic() + _RETRY_SECONDS, refused)
                raise refused from None
            self._loaded = True
            log.info("the agent runs %s", self._wrapper.files.version)

    def _load_now(self) -> None:
        uri = self._options.model_uri
        if uri is None:
            self._wrapper.load(str(BUILT_IN))
            return
        try:
            mlflow_store.client(self._options.tracking_uri)
            with mlflow_store.translated(self._options.tracking_uri):
                self._wrapper.load(uri)
        except (AgentRefused, mlflow_store.MlflowUnavailable) as error:
            if not self._wrapper.load_kept(uri):
                raise
            log.error("the agent goes on with what %s was: %s", uri, error)


def thread_key(question: dict[str, Any]) -> str | None:
    """Whose thread it is and which, as a hash; None where nobody is named: it would be anybody's.

    The caller is the key that the request came with, so that one key's users never meet another's.
    """
    if not question.get("user_id") or not question.get("thread_id"):
        return None
    named = json.dumps([question.get(name) for name in ("caller", "user_id", "thread_id")], ensure_ascii=False)
    return hashlib.sha256(named.encode()).hexdigest()


def _item(piece: Any) -> dict[str, Any]:
    if isinstance(piece, Began):
        return {"began": list(piece.messages)}
    return {"delta": piece.text} if isinstance(piece, Delta) else {"done": piece.finish}


def _told(error: Exception) -> dict[str, Any]:
    """An error as it crosses to the ingress."""
    if isinstance(error, AgentStopped):
        status, name = (504, "AGENT_TIMEOUT_SECONDS") if error.bound == "time" else (500, "AGENT_MAX_STEPS")
        error = ApiError(status, f"{error} ({name})", code=f"agent_{error.bound}")
    elif isinstance(error, sqlite3.Error):
        log.error("the agent's memory: %s", type(error).__name__)
        error = busy("Expected the agent's memory to answer, found it away", "agent_memory_unavailable", 2)
    found = api_error(error)
    return {"status": found.status, "message": found.message, "param": found.param, "code": found.code,
            "headers": found.headers}  # fmt: skip
