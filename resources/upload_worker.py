"""A process of its own for work on one uploaded file, behind everything else: a job on standard input, its answer out.

The answer is one JSON object: `done`, or `refused` with rule, message and place. Whoever started this has its life in
hand, so that neither a hostile file nor a long one is felt by the chats beside it.
"""

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from traceback import extract_tb
from types import TracebackType
from typing import Any

from resources.process import die_with_parent
from resources.recognisers import RecogniserMissing
from resources.records import FileRefused
from resources.store_errors import NotAllowed, StoreUnavailable
from resources.upload_files import FULL
from resources.upload_reading import TaskRefused

NICENESS = 10
# what each needs is imported when it is asked for: most of a short job's time would be imports else
TASKS = {
    "inspect": "resources.upload_inspection:inspect",
    "statistics": "resources.upload_figures:statistics",
    "validate": "resources.upload_checks:validate",
    "preprocess": "resources.upload_exports:preprocess",
    "split": "resources.upload_splits:split",
    "ingest": "resources.upload_ingestion:ingest",
}


def answer(job: Mapping[str, Any]) -> dict[str, Any]:
    """What a job came to."""
    try:
        module, _, name = TASKS[job["task"]].partition(":")
        return {"done": getattr(import_module(module), name)(job)}
    except FileRefused as refused:
        place = {"line": refused.line or None, "column": refused.column or None}
        return {"refused": {"rule": refused.what, "message": str(refused), **place}}
    except TaskRefused as refused:
        return {"refused": {"rule": refused.rule, "message": refused.message, "line": None, "column": None}}
    except RecogniserMissing as missing:
        return _refused("recogniser_missing", str(missing))
    except NotAllowed as error:  # it was deleted meanwhile
        return _refused("not_allowed", str(error))
    except StoreUnavailable:  # what it found is for the log of the ingress alone
        return _refused("store_unavailable", "expected the store to answer, found it away")
    except FileNotFoundError:
        return _refused("file_gone", "expected the file of the dataset, found it gone: upload it again")
    except OSError as error:
        if error.errno not in FULL:
            raise
        return _refused("disk_full", "expected room on the disk, found none")


def _refused(rule: str, message: str) -> dict[str, Any]:
    return {"refused": {"rule": rule, "message": message, "line": None, "column": None}}


def step_back() -> None:
    """Others go first, and where memory runs out this process is ended before any that answers chats."""
    os.nice(NICENESS)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _without_words(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What ended this process goes to the ingress's log: where, but not what a driver says, who quotes what it read."""
    for frame in extract_tb(trace):
        print(f"  {frame.filename}:{frame.lineno} in {frame.name}", file=sys.stderr)  # noqa: T201
    print(kind.__qualname__, file=sys.stderr)  # noqa: T201


def main() -> None:
    sys.excepthook = _without_words
    job = json.load(sys.stdin)
    die_with_parent(job["parent"])
    step_back()
    json.dump(answer(job), sys.stdout)


if __name__ == "__main__":
    main()
