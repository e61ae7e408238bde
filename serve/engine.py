"""The engine: immutable adapters over one base, each servable only after it was verified, loaded and asked."""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, Protocol

from serve.engine_client import BASE, PLACES_TAKEN, AdapterNotServed, Body, Item

_DRAIN_SECONDS = 20.0
_LINGER_SECONDS = 10.0
VERSION_NAME = re.compile(r"v[1-9][0-9]{0,8}")
_CANARY: Body = {"messages": [{"role": "user", "content": "ping"}], "max_completion_tokens": 4, "temperature": 0}


class _Full(AdapterNotServed):
    """No adapter may make room now; `drains`: one may once its last request is done."""

    def __init__(self, message: str, *, drains: bool) -> None:
        super().__init__(message)
        self.drains = drains


class Backend(Protocol):
    """The inference engine itself. `vllm_compat.VllmBackend` in production, a double in tests."""

    max_model_len: int

    @property
    def unfinished(self) -> int:
        """Requests it works on or has not begun yet."""
        ...

    async def chat(self, body: Body) -> tuple[dict[str, Any], AsyncGenerator[str, None] | None]:
        """Head and, for a stream, the SSE strings after it. Cancelling or closing aborts the request."""
        ...

    async def add(self, name: str, folder: Path) -> None:
        """Load an adapter. Raises AdapterNotServed; whatever was half done is for `sweep`."""
        ...

    async def remove(self, name: str) -> None:
        """Unload an adapter; unknown names are ignored."""
        ...

    async def sweep(self) -> list[int]:
        """Unload adapters that no name stands for, and all trace of them; a failed load leaves such."""
        ...

    async def check(self) -> None:
        """Raises EngineUnavailable when the engine is dead."""
        ...


class Engine:
    """Implements EngineClient. Knows which adapters are resident, who uses them, and which must stay.

    A name stands for one folder for ever, so an adapter is never reloaded in place. A running request counts
    as a user of its adapter, and only an adapter without users is dropped: to make room, one that is not pinned or
    else one that is pinned after the one to load; and some seconds after it lost its pin, whatever room there is.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        adapters: Path,
        verify: Callable[[Path, str], object],
        model: str,
        lineage: str,
        capacity: int,
    ) -> None:
        self._backend, self._adapters, self._verify = backend, adapters, verify
        self._model, self._lineage, self._capacity = model, lineage, capacity
        self._users: dict[str, int] = {}  # resident adapters, least recently asked first
        self._pinned: list[str] = []  # most needed first
        self._unpinned_at: dict[str, float] = {}  # what lost its pin, seconds of the monotonic clock
        self._loading, self._load = asyncio.Lock(), ""
        self._drained = asyncio.Event()

    async def chat(self, body: Body) -> AsyncGenerator[Item, None]:
        """See EngineClient.chat. A version that is on disk but not resident is loaded first."""
        name = str(body.get("model"))
        if name != BASE and name not in self._users:
            refusal = await self._load_on_demand(name)
            if refusal:
                yield refusal
                return
        self._count(name, +1)  # no await since `name` was known to be resident, or it could have been dropped
        try:
            head, stream = await self._backend.chat(body)
            if stream is None:
                yield head
                return
            async with aclosing(stream) as items:
                yield head
                async for item in items:
                    yield item
        finally:
            self._count(name, -1)

    async def ensure(self, name: str, pinned: list[str]) -> dict[str, Any]:
        """See EngineClient.ensure. `pinned`, most needed first, replaces the pins of the call before.

        Where all places are taken it waits for one to be drained, for a while.
        """
        looked_again = pinned == self._pinned
        self._pin(pinned)
        if looked_again:  # who swaps does not wait for this
            await self._drop_drained()
        deadline = time.monotonic() + _DRAIN_SECONDS
        while True:
            self._drained.clear()
            try:
                return await self._ensure(name)
            except _Full as error:
                if not error.drains or time.monotonic() >= deadline:
                    raise AdapterNotServed(str(error)) from None
            with suppress(TimeoutError):
                async with asyncio.timeout(min(1.0, deadline - time.monotonic())):
                    await self._drained.wait()

    async def loaded(self) -> list[str]:
        """What is resident or is just being loaded: its files are needed."""
        return [*self._users, *([self._load] if self._load and self._load not in self._users else [])]

    async def ready(self) -> dict[str, Any]:
        await self._backend.check()
        facts = {"model": self._model, "lineage": self._lineage, "max_model_len": self._backend.max_model_len}
        return {**facts, "unfinished": self._backend.unfinished}

    def _count(self, name: str, change: int) -> None:
        if name != BASE:
            self._users[name] = self._users.pop(name) + change
            if not self._users[name]:
                self._drained.set()

    def _pin(self, pinned: list[str]) -> None:
        now = time.monotonic()
        lost = [name for name in self._pinned if name not in pinned]
        self._unpinned_at = {name: at for name, at in self._unpinned_at.items() if name not in pinned}
        self._unpinned_at |= dict.fromkeys(lost, now)
        self._pinned = list(pinned)

    async def _drop_drained(self) -> None:
        """Nobody goes back so late to what was replaced; a swap that is undone at once still finds it."""
        before = time.monotonic() - _LINGER_SECONDS
        for name in [name for name, at in self._unpinned_at.items() if at <= before]:
            async with self._loading:
                if name in self._pinned or self._users.get(name):
                    continue
                self._unpinned_at.pop(name, None)
                if name in self._users:
                    await self._drop(name)

    async def _load_on_demand(self, name: str) -> dict[str, Any] | None:
        if not (VERSION_NAME.fullmatch(name) and (self._adapters / name).is_dir()):
            message = f"The model `{name}` does not exist here. Expected `base` or a version on disk, such as `v1`."
            return _refusal(404, "model_not_found", message)
        try:
            await self._ensure(name)
        except _Full as error:
            return _refusal(503, PLACES_TAKEN, f"The model `{name}` cannot be served now: {error}")
        except AdapterNotServed as error:
            return _refusal(503, "adapter_not_served", f"The model `{name}` cannot be served now: {error}")
        return None

    async def _ensure(self, name: str) -> dict[str, Any]:
        if name == BASE or name in self._users:
            return {"loaded": False, "seconds": 0.0}
        if not VERSION_NAME.fullmatch(name):
            raise AdapterNotServed(f"expected a version name such as `v3`, found {name!r}")
        started = time.monotonic()
        async with self._loading:
            if name in self._users:
                return {"loaded": False, "seconds": time.monotonic() - started}
            self._load = name
            try:
                await self._load_and_ask(name)
            finally:
                self._load = ""
            self._users[name] = 0
        return {"loaded": True, "seconds": time.monotonic() - started}

    async def _load_and_ask(self, name: str) -> None:
        folder = self._adapters / name
        await asyncio.to_thread(self._verified, folder)
        try:
            await self._make_room(name)
            await self._backend.add(name, folder)
            await self._ask(name)
        except BaseException:  # cancellation too: nothing half-loaded or half-removed may stay
            await self._backend.remove(name)
            await self._backend.sweep()
            raise

    def _verified(self, folder: Path) -> None:
        try:
            self._verify(folder, self._lineage)
        except (ValueError, OSError) as error:
            raise AdapterNotServed(f"{folder.name} refused: {error}") from error

    async def _make_room(self, name: str) -> None:
        if len(self._users) < self._capacity:
            return
        later = self._pinned[self._pinned.index(name) + 1 :] if name in self._pinned else []
        may_go = [n for n in self._users if n not in self._pinned] + [n for n in reversed(later) if n in self._users]
        idle = [n for n in may_go if not self._users[n]]
        if not idle:
            held = f"all {self._capacity} adapter places are taken by {', '.join(self._users)}"
            raise _Full(
                f"{held}, each pinned or answering; ask again when one is done, or raise ENGINE_ADAPTERS",
                drains=bool(may_go),
            )
        await self._drop(idle[0])

    async def _drop(self, name: str) -> None:
        del self._users[name]  # before anything is awaited: no request may count on it any more
        await self._backend.remove(name)

    async def _ask(self, name: str) -> None:
        """The canary: the same path as a real request, before anyone's request takes it."""
        head, _ = await self._backend.chat(_CANARY | {"model": name})
        if head.get("status") != 200:
            raise AdapterNotServed(f"{name} loaded but could not answer its first request: {head.get('json')}")


def _refusal(status: int, code: str, message: str) -> dict[str, Any]:
    kind = "invalid_request_error" if status == 404 else "service_unavailable"
    return {"status": status, "json": {"error": {"message": message, "type": kind, "param": "model", "code": code}}}
