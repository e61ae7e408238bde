"""An agent as a LangGraph graph over the engine, behind the `ModelWrapper` interface."""

import asyncio
import weakref
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any

from core.conversation import Conversation
from wrappers.agent_files import BUILT_IN, AgentFiles, checked, from_cache, from_folder, from_registry
from wrappers.agent_memory import bounded, keep_last, open_memory
from wrappers.agent_run import (
    AgentLimits,
    AgentRequest,
    AgentStopped,
    Ask,
    Began,
    Delta,
    Done,
    Message,
    Run,
    Said,
)
from wrappers.base import ModelWrapper
from wrappers.lora import messages_of

_NO_THREAD = "none"


class LangGraphWrapper(ModelWrapper):
    """Runs a graph that asks the engine through `ask`; with a `memory` it remembers the threads it is given.

    One event loop uses it at a time: `stream` for serving, `predict` and `evaluate` outside of any loop. MLflow is
    reached at the tracking address of the process, which the caller sets. `cache` keeps what was loaded from there.
    """

    def __init__(
        self,
        ask: Ask,
        *,
        memory: Path | None = None,
        cache: Path | None = None,
        limits: AgentLimits | None = None,
    ) -> None:
        self._ask, self._memory, self._cache, self.limits = ask, memory, cache, limits or AgentLimits()
        self.files = from_folder(BUILT_IN)
        self._graphs: dict[bool, Any] = {}
        self._saver: Any = None
        self._opened = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._threads: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    def train(self, data_loader: Iterable[Any], config: Mapping[str, Any]) -> str:
        """Never; the error says so."""
        raise NotImplementedError(
            "Training is not applicable to a LangGraph agent, which has no weights of its own: train the model that "
            "it asks, or save another graph"
        )

    def evaluate(self, data_loader: Iterable[Conversation], config: Mapping[str, Any]) -> dict[str, float]:
        """Scores of the replies to a golden set against its own, logged to MLflow: see `wrappers.agent_scores`."""
        from wrappers.agent_scores import evaluate_agent

        return evaluate_agent(self, data_loader, config)

    def load(self, model_uri: str) -> None:
        """Use the graph at `models:/NAME@alias`, `models:/NAME/3` or in a folder. AgentRefused keeps the former one."""
        self._use(_files(model_uri, self._cache))

    def load_kept(self, model_uri: str) -> bool:
        """Use what `model_uri` was when it was last loaded, for a registry that does not answer; False: unknown."""
        kept = from_cache(model_uri, self._cache) if self._cache else None
        if kept is not None:
            self._use(kept)
        return kept is not None

    def predict(self, input_data: Mapping[str, Any]) -> str:
        """The reply to `input`: a text, a list of messages, or an object with `messages`; nothing is remembered.

        `model` names the version that is asked, else `production`. Not to be called within an event loop.
        """
        messages = tuple(messages_of(input_data.get("input")))
        request = AgentRequest(
            messages=messages,
            model=str(input_data.get("model") or "production"),
            features=input_data.get("features") or {},
        )
        return asyncio.run(self._whole(request))

    async def _whole(self, request: AgentRequest) -> str:
        async with aclosing(self.stream(request)) as said:
            return "".join([piece.text async for piece in said if isinstance(piece, Done)])

    async def stream(self, request: AgentRequest) -> AsyncGenerator[Said, None]:
        """`Began` once there is something to say, `Delta`s, and `Done`. AgentStopped at a bound; what `ask` raises.

        Requests of one thread wait for each other. Closing it ends the run, of which nothing is then remembered.
        """
        deadline = asyncio.get_running_loop().time() + self.limits.seconds
        async with aclosing(self._turn(request)) as said:
            while True:
                try:
                    async with asyncio.timeout_at(deadline):
                        piece = await anext(said)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    message = f"Expected the agent to end within {self.limits.seconds:g} s, found it still at work"
                    raise AgentStopped("time", message) from None
                yield piece

    async def close(self) -> None:
        await self._opened.aclose()

    async def _turn(self, request: AgentRequest) -> AsyncGenerator[Said, None]:
        if request.thread is None or self._memory is None:
            async with aclosing(self._run(request, self._graph(None), [])) as said:
                async for piece in said:
                    yield piece
            return
        saver = await self._open()
        lock = self._threads.setdefault(request.thread, asyncio.Lock())
        async with lock:
            graph, thread = self._graph(saver), request.thread
            await keep_last(saver, thread)  # a turn that failed left one more
            known = (await graph.aget_state(_config(thread))).values.get("messages", [])
            async with aclosing(self._run(request, graph, bounded(known, self.limits))) as said:
                async for piece in said:
                    yield piece
            await self._settle(graph, thread)

    async def _run(self, request: AgentRequest, graph: Any, remembered: list[Message]) -> AsyncGenerator[Said, None]:
        from langgraph.errors import GraphRecursionError

        instructions = [message for message in request.messages if message["role"] == "system"]
        asked = [message for message in request.messages if message["role"] != "system"]
        # who brings the thread along is believed: what is remembered would say it twice
        thread = asked if len(asked) > 1 else [*remembered, *asked]
        run = Run(request, "\n\n".join(message["content"] for message in instructions), self._ask)
        events = graph.astream(
            {"messages": thread},
            {**_config(request.thread or _NO_THREAD), "recursion_limit": self.limits.steps},
            context=run,
            stream_mode=["custom", "values"],
            durability="exit" if graph.checkpointer else None,
        )
        began, state = False, {"messages": thread}
        try:
            async with aclosing(events):
                async for kind, event in events:
                    if kind == "values":
                        state = event
                        continue
                    if not began:
                        yield Began((*instructions, *_asked_in(state)))
                        began = True
                    yield Delta(str(event["delta"]))
        except GraphRecursionError:
            message = f"Expected the agent to end within {self.limits.steps} steps, found it still at work"
            raise AgentStopped("steps", message) from None
        if not began:
            yield Began((*instructions, *_asked_in(state)))
        yield Done(_reply_in(state), run.finish)

    async def _settle(self, graph: Any, thread: str) -> None:
        """What is over the bounds leaves the file, too, not only what is asked."""
        config = _config(thread)
        messages = (await graph.aget_state(config)).values.get("messages", [])
        kept = bounded(messages, self.limits)
        if kept != messages:
            await graph.aupdate_state(config, {"messages": kept}, as_node="__start__")
        await keep_last(self._saver, thread)

    async def _open(self) -> Any:
        async with self._opening:
            if self._saver is None and self._memory is not None:
                self._saver = await self._opened.enter_async_context(open_memory(self._memory))
        return self._saver

    def _graph(self, saver: Any) -> Any:
        """Compiled once with the memory and once without."""
        if (saver is None) not in self._graphs:
            self._graphs[saver is None] = self.files.graph().compile(checkpointer=saver)
        return self._graphs[saver is None]

    def _use(self, files: AgentFiles) -> None:
        self.files, self._graphs = files, {True: checked(files)}


def _files(model_uri: str, cache: Path | None) -> AgentFiles:
    folder = Path(model_uri)
    if folder.is_dir():
        return from_folder(folder.resolve())
    if cache is not None:
        return from_registry(model_uri, cache)
    import tempfile

    with tempfile.TemporaryDirectory() as passing:
        return from_registry(model_uri, Path(passing))


def _config(thread: str) -> dict[str, Any]:
    return {"configurable": {"thread_id": thread}}


def _asked_in(state: Mapping[str, Any]) -> list[Message]:
    messages: list[Message] = list(state["messages"])
    return messages[:-1] if messages and messages[-1]["role"] == "assistant" else messages


def _reply_in(state: Mapping[str, Any]) -> str:
    last = state["messages"][-1]
    return str(last["content"]) if last["role"] == "assistant" else ""
