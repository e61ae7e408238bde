"""Many texts on disk instead of in memory, found again by number."""

import tempfile
from array import array
from collections.abc import Iterable
from types import TracebackType
from typing import Self


class TextFile:
    """Texts numbered from 1 in the order they came; gone at the end of its `with`."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 -- closed at the end of our own `with`
        self._starts = array("Q", [0])

    def add(self, text: str) -> int:
        data = text.encode()
        self._file.seek(0, 2)
        self._file.write(data)
        self._starts.append(self._starts[-1] + len(data))
        return len(self._starts) - 1

    def get(self, numbers: Iterable[int]) -> dict[int, str]:
        return {number: self._one(number) for number in numbers}

    def _one(self, number: int) -> str:
        start, end = self._starts[number - 1], self._starts[number]
        self._file.seek(start)
        return self._file.read(end - start).decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
