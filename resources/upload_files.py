"""The files of uploaded datasets: written aside, renamed into place, for the owner alone, under names made here."""

import errno
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from resources.folders import sync

FREE_BYTES = 64 * 2**20
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_UNFINISHED = "upload.tmp-"


def file_name(id: int, part: str) -> str:
    """What a file made of an upload is called, here and at the client's."""
    return f"dataset-{id}-{part}.jsonl"


def config_name(id: int, part: str) -> str:
    return f"dataset-{id}-{part}.axolotl.yaml"


class DiskFull(Exception):
    """There is no room for the file; what was written of it is gone."""


class Staged:
    """A file that is being received; gone at the end of its `with`, unless a row speaks of it and it is to be kept."""

    def __init__(self, path: Path) -> None:
        self.path, self.size, self.kept = path, 0, False
        self._digest = hashlib.sha256()
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def write(self, data: bytes) -> None:
        with _saying_full():
            self._file.write(data)
        self._digest.update(data)
        self.size += len(data)

    def finish(self) -> None:
        """On disk, before any row speaks of it."""
        with _saying_full():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()
        except OSError:
            pass  # a full disk says so again when the last bytes cannot be written; the file goes away now
        finally:
            if not self.kept:
                self.path.unlink(missing_ok=True)


class UploadFiles:
    """One folder for each upload, named by its number, with `data.EXTENSION` and what was made of it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def stage(self, announced: int = 0) -> Staged:
        """A new file beside the others; DiskFull when what was announced would not leave the store its room."""
        with _saying_full():
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            if shutil.disk_usage(self.root).free < announced + FREE_BYTES:
                raise DiskFull
            return Staged(self.root / f"{_UNFINISHED}{uuid.uuid4().hex}")

    def place(self, staged: Staged, id: int, extension: str) -> None:
        """The finished file under its number; a folder that no row ever named is replaced."""
        folder = self.folder(id)
        if staged.path.parent == folder:
            return
        with _saying_full():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
            staged.path.rename(folder / f"data.{extension}")
            staged.path = folder / f"data.{extension}"
            sync(folder)
            sync(self.root)

    def folder(self, id: int) -> Path:
        return self.root / str(id)

    def data(self, id: int, extension: str) -> Path:
        return self.folder(id) / f"data.{extension}"

    def remove(self, id: int) -> None:
        """The file and all that was made of it; nothing when there is none."""
        shutil.rmtree(self.folder(id), ignore_errors=True)

    def sweep(self, older_than_seconds: float = 3600.0) -> int:
        """Take away what a killed process left unfinished; how many files."""
        before, gone = time.time() - older_than_seconds, 0
        for path in [*self.root.glob(f"{_UNFINISHED}*"), *self.root.glob("*/*.tmp-*")]:
            if path.stat().st_mtime <= before:
                path.unlink(missing_ok=True)
                gone += 1
        return gone


@contextmanager
def _saying_full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise DiskFull from error
        raise
