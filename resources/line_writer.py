"""Records as JSON lines, in a file that is there whole or not at all."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

# what is left to the store, and how often it is looked at
FREE_BYTES, LOOK_BYTES = 64 * 2**20, 4 * 2**20


class LineWriter:
    """For the owner alone; counts, and knows its hash. What is not finished is gone at the end of its `with`.

    OSError with ENOSPC before the store beside it would run out of room.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.count = path, 0
        self._digest = hashlib.sha256()
        self._until_look = 0
        self._unfinished = path.with_name(f"{path.name}.tmp-{os.getpid()}")
        self._file = os.fdopen(os.open(self._unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")

    def write(self, record: Mapping[str, Any]) -> None:
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        self._until_look -= len(line)
        if self._until_look < 0:
            self._look()
        self._file.write(line)
        self._digest.update(line)
        self.count += 1

    def _look(self) -> None:
        if shutil.disk_usage(self.path.parent).free < FREE_BYTES + LOOK_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._until_look = LOOK_BYTES

    def finish(self) -> dict[str, Any]:
        """Into its place; what it came to."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._unfinished.rename(self.path)
        return {"file_path": self.path.name, "count": self.count, "sha256": self._digest.hexdigest()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._file.close()
        self._unfinished.unlink(missing_ok=True)
