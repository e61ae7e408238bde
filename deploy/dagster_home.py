"""A Dagster home in the state folder: the repository's dagster.yaml with every folder made absolute."""

from pathlib import Path
from typing import Any

import yaml

_DEFAULT_STATE = "var"


def write(source: Path, state_dir: Path) -> Path:
    """The home, with its dagster.yaml written anew; a relative `base_dir` under `var` goes to `state_dir`."""
    home = state_dir / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    content = yaml.safe_load(source.read_text(encoding="utf-8")) or {}
    (home / "dagster.yaml").write_text(yaml.safe_dump(_absolute(content, state_dir)), encoding="utf-8")
    return home


def _absolute(node: Any, state_dir: Path) -> Any:
    if isinstance(node, list):
        return [_absolute(child, state_dir) for child in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _place(value, state_dir) if key == "base_dir" and isinstance(value, str) else _absolute(value, state_dir)
        for key, value in node.items()
    }


def _place(base_dir: str, state_dir: Path) -> str:
    path = Path(base_dir)
    if path.parts[:1] == (_DEFAULT_STATE,):
        path = Path(*path.parts[1:])
    return str(state_dir / path)
