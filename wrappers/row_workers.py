"""Packed rows computed side by side, one thread a row, instead of every matrix product split over all cores.

A product split over two cores ends when the slower core does. Beside a busy engine that made training five to ten times
slower; rows wait for each other once a step only.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class RowWorkers:
    """`rows` at once where there are that many cores; the cores that remain are shared out among them.

    Of several `processes` each takes its share of the cores.
    """

    def __init__(self, rows: int, device: str = "cpu", processes: int = 1) -> None:
        cores = max(1, usable_cores() // processes)
        self.count = 1 if device != "cpu" else max(1, min(rows, cores))
        self._threads_each = max(1, cores // self.count)

    def __enter__(self) -> "RowWorkers":
        import torch

        self._threads_before = torch.get_num_threads()
        torch.set_num_threads(self._threads_each)
        self._pool = ThreadPoolExecutor(self.count, thread_name_prefix="rows")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import torch

        self._pool.shutdown(cancel_futures=True)
        torch.set_num_threads(self._threads_before)

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """What `work` gives for each item, in their order; with one worker everything stays in this thread."""
        if self.count == 1:
            return [work(item) for item in items]
        return list(self._pool.map(work, items))


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
