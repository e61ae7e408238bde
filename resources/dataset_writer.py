"""Writes the sides of a dataset as a stream: a group of rows in memory for each, whatever the size of the whole."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

import pyarrow.parquet as pq

from core.canonical import fingerprint_of
from core.sides import SIDES, Side
from resources.dataset_columns import COLUMNS, DatasetRow, spelled, table

# cut by number and not as they come, so that the same rows give the same bytes
GROUP = 4_096


def file_of(side: Side) -> str:
    """The file of a side within the folder of a dataset."""
    return f"{side}.parquet"


class SideWriter:
    """One file, and the hash of what is in it."""

    def __init__(self, path: Path) -> None:
        self.rows = 0
        self._hash = hashlib.sha256()
        self._waiting: list[DatasetRow] = []
        self._file = pq.ParquetWriter(path, COLUMNS, compression="zstd", store_schema=False)

    def write(self, row: DatasetRow) -> None:
        self._waiting.append(row)
        if len(self._waiting) == GROUP:
            self._flush()

    def close(self) -> str:
        """End the file; the hash of its conversations in hex."""
        if self._waiting:
            self._flush()
        self._file.close()
        return self._hash.hexdigest()

    def _flush(self) -> None:
        for row in self._waiting:
            self._hash.update(spelled(row.conversation))
        self._file.write_table(table(self._waiting))
        self.rows += len(self._waiting)
        self._waiting.clear()


class DatasetWriter:
    """All sides of one dataset; rows come in the order in which they are to stand."""

    def __init__(self, folder: Path, version: int) -> None:
        self._version = version
        self._sides = {side: SideWriter(folder / file_of(side)) for side in SIDES}
        self._ids: set[int] = set()
        self._units: set[int] = set()
        self._own = 0
        self.hash = ""

    def __enter__(self) -> "DatasetWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        hashes = {file_of(side): writer.close() for side, writer in self._sides.items()}
        self.hash = fingerprint_of(hashes)

    def write(self, pieces: Iterable[Sequence[DatasetRow]]) -> None:
        """Write piece by piece; ValueError for an id that came before."""
        for piece in pieces:
            for row in piece:
                self._refuse_twice(row.conversation.id)
                self._units.add(hash(row.unit))
                self._own += row.version == self._version
                self._sides[row.side].write(row)

    @property
    def counts(self) -> dict[str, int]:
        """Whole numbers for manifest, store and page."""
        sides: dict[str, int] = {side: writer.rows for side, writer in self._sides.items()}
        earlier = sum(sides.values()) - self._own
        return {"from_earlier_versions": earlier, **sides, "units": len(self._units)}

    def _refuse_twice(self, id_: str) -> None:
        # 64 bits of each: a million ids meet by chance once in 37 million datasets
        number = hash(id_)
        if number in self._ids:
            raise ValueError(f"Expected each conversation once in the dataset, found {id_} twice")
        self._ids.add(number)
