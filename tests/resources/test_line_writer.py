import errno
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from resources.line_writer import FREE_BYTES, LOOK_BYTES, LineWriter

Usage = namedtuple("Usage", "free")


def test_it_ends_before_the_store_runs_out_of_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = [FREE_BYTES + 2 * LOOK_BYTES, FREE_BYTES]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(free.pop(0)))
    with LineWriter(tmp_path / "made.jsonl") as lines:
        lines.write({"text": "x" * LOOK_BYTES})
        with pytest.raises(OSError, match=r"^\[Errno 28\] [^/]*$") as full:
            lines.write({"text": "x" * LOOK_BYTES})
    assert (full.value.errno, free) == (errno.ENOSPC, [])
    assert list(tmp_path.iterdir()) == [], "what is not whole is gone"
