"""The store behind a small thread pool and a deadline: nothing in the event loop waits for a disk."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from resources.store import Store, StoreUnavailable

Result = TypeVar("Result")


class StoreDoor:
    def __init__(self, store: Store, seconds: float = 10.0, threads: int = 4) -> None:
        self._store, self._seconds = store, seconds
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="store")

    async def ask(self, question: Callable[[Store], Result], seconds: float | None = None) -> Result:
        """What `question` answers of the store. Raises StoreUnavailable also when it takes too long."""
        seconds = seconds or self._seconds
        answer = asyncio.get_running_loop().run_in_executor(self._threads, question, self._store)
        try:
            return await asyncio.wait_for(answer, seconds)
        except TimeoutError:
            raise StoreUnavailable(f"no answer within {seconds:g} s") from None

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
