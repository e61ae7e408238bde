"""What was served last, on disk: for an ingress that starts without the store, and an engine that starts at all."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

CHAMPION, EXPERIMENT = "champion.json", "experiment.json"


@dataclass(frozen=True)
class LastChampion:
    """The champion and the one before; None: the base."""

    lineage: str
    n: int | None
    previous: int | None


def last_champion(state: Path, lineage: str) -> LastChampion:
    """The base where nothing is known of this lineage."""
    try:
        last = LastChampion(**json.loads((state / CHAMPION).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return LastChampion(lineage, None, None)
    return last if last.lineage == lineage else LastChampion(lineage, None, None)


def keep_champion(state: Path, last: LastChampion) -> None:
    """Raises OSError."""
    keep(state / CHAMPION, asdict(last))


def last_resident(state: Path, lineage: str) -> list[str]:
    """The versions that an engine which starts now should hold, most needed first: see `Pins`."""
    last = last_champion(state, lineage)
    numbers = [last.n, *_arms(state / EXPERIMENT, lineage), last.previous]
    return list(dict.fromkeys(f"v{n}" for n in numbers if n is not None))


def keep(file: Path, content: Mapping[str, Any]) -> None:
    """Write JSON whole or not at all; raises OSError."""
    unfinished = file.with_name(f"{file.name}.tmp-{os.getpid()}")
    with unfinished.open("w", encoding="utf-8") as out:
        json.dump(content, out, ensure_ascii=False)
        out.flush()
        os.fsync(out.fileno())
    unfinished.replace(file)


def _arms(file: Path, lineage: str) -> list[int]:
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["lineage"] != lineage or kept["experiment"] is None:
            return []
        models = [str(arm["model"]) for arm in kept["experiment"]["design"]["arms"]]
        return [int(model[1:]) for model in models if model[0] == "v" and model[1:].isdecimal()]
    except (OSError, ValueError, TypeError, KeyError, IndexError):
        return []
