"""What a job leaves on disk, for whoever looks: the end of its log, and its checkpoints."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.manifest import MANIFEST_NAME, Manifest
from resources import folders
from resources.times import moment

METRIC = "validation_loss"
_TAIL_BYTES = 512 * 1024
_MOST_CHARACTERS = 2_000


def log_lines(state: Path, n: int, tail: int) -> list[str]:
    """The last lines that its trainer wrote, oldest first; [] where it wrote none, or they are pruned."""
    path = state / "logs" / f"trainer-v{n}.log"
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            file.seek(max(0, size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    whole = lines[1:] if size > _TAIL_BYTES else lines
    return [line[:_MOST_CHARACTERS] for line in whole[-tail:]]


def checkpoint_rows(state: Path, n: int) -> list[dict[str, Any]]:
    """Its whole checkpoints by their manifests, newest first; `is_best` is the one with the lowest validation loss.

    `kept`: it lies on disk. Once a training is through nothing goes on from one, and what was kept till then is noted.
    """
    rows = _on_disk(state, n)
    there = {row["step"] for row in rows}
    rows += [row for row in _noted(state, n) if row["step"] not in there]
    newest_first = sorted(rows, key=lambda row: -int(row["step"]))
    measured = [(row["metrics"][METRIC], place) for place, row in enumerate(newest_first) if METRIC in row["metrics"]]
    best = min(measured)[1] if measured else None
    return [{**row, "is_best": place == best} for place, row in enumerate(newest_first)]


def note_checkpoints(state: Path, n: int) -> None:
    """Write down what is there, before it is removed."""
    gone = [{**row, "kept": False} for row in _on_disk(state, n)]
    folders.write_whole(_note(state, n), json.dumps(gone))


def _note(state: Path, n: int) -> Path:
    return state / "logs" / f"trainer-v{n}.checkpoints.json"


def _on_disk(state: Path, n: int) -> list[dict[str, Any]]:
    found = (state / "checkpoints" / f"v{n}").glob("step-*")
    return [{**row, "kept": True} for folder in found if (row := _checkpoint(folder)) is not None]


def _noted(state: Path, n: int) -> list[dict[str, Any]]:
    try:
        return list(json.loads(_note(state, n).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return []


def _checkpoint(folder: Path) -> dict[str, Any] | None:
    """None where it is being written, or removed in this moment."""
    if folder.name.endswith(".tmp"):
        return None
    try:
        manifest = folders.read_manifest(folder)
        written = (folder / MANIFEST_NAME).stat().st_mtime
        size = sum(path.stat().st_size for path in folder.iterdir())
    except (OSError, folders.FolderRefused):
        return None
    return {
        "step": manifest.counts.get("step", 0),
        "metrics": _metrics(manifest),
        "sha256": manifest.fingerprint(),
        "files": dict(manifest.files),
        "bytes": size,
        "created_at": moment(datetime.fromtimestamp(written, UTC)),
    }


def _metrics(manifest: Manifest) -> dict[str, float]:
    found = {name: float(text) for name, text in manifest.details.items()}
    return {name: value for name, value in found.items() if value == value}
