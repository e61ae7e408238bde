"""One piece of work for all who ask for the same at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class SingleFlight(Generic[Result]):
    """Whoever asks while the work is under way gets its result, or its error; who comes after it asks anew."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Future[Result]] = {}

    async def do(self, key: Hashable, work: Callable[[], Awaitable[Result]]) -> Result:
        """The result of `work`, begun here or by somebody before. Who gives up waiting takes it from nobody."""
        future = self._under_way.get(key)
        if future is None:
            future = self._under_way[key] = asyncio.ensure_future(work())
            future.add_done_callback(lambda done: self._landed(key, done))
        return await asyncio.shield(future)

    def _landed(self, key: Hashable, done: "asyncio.Future[Result]") -> None:
        del self._under_way[key]
        if not done.cancelled():
            done.exception()  # whoever waited was told; where all have left, it is no error that nobody looked at
