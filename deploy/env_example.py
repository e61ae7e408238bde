"""Writes .env.example from the settings themselves: `python -m deploy.env_example`."""

import textwrap
from pathlib import Path
from typing import Any

from pydantic_core import PydanticUndefined

from core.live_settings import LiveSettings
from resources.settings import ROOT, Settings

HEAD = """\
Every setting of Whetstone with its default. Copy this file to .env and take the # from the lines you change.
The environment beats .env, .env beats config.yaml (the same names in lower case), config.yaml beats the default.
A name that is not in this list is refused at start. Settings marked (live) are start values: they can be changed
while it runs, by POST /mlops/settings, and what was changed there is stored and wins."""


def text() -> str:
    """The whole file."""
    blocks = ["".join(f"# {line}\n" for line in HEAD.splitlines())]
    for name, field in Settings.model_fields.items():
        bounds = _bounds(field.metadata)
        mark = " (live)" if name in LiveSettings.model_fields else ""
        described = f"{field.description}{bounds}{mark}."
        comment = "".join(f"# {line}\n" for line in textwrap.wrap(described, width=116))
        blocks.append(f"{comment}# {_variable(name)}={_shown(field.default)}\n")
    return "\n".join(blocks)


def _variable(name: str) -> str:
    # The two names that trainers everywhere write in lower case.
    as_written = {"per_device_train_batch_size", "gradient_accumulation_steps"}
    return name if name in as_written else name.upper()


def _bounds(metadata: list[Any]) -> str:
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    found = [
        f"{word} {getattr(entry, key):g}"
        if isinstance(getattr(entry, key), float)
        else f"{word} {getattr(entry, key):,}"
        for key, word in words.items()
        for entry in metadata
        if getattr(entry, key, None) is not None
    ]
    return f"; {', '.join(found)}" if found else ""


def _shown(default: Any) -> str:
    if default is None or default is PydanticUndefined:
        return ""
    return str(default).lower() if isinstance(default, bool) else str(default)


def main(target: Path = ROOT / ".env.example") -> None:
    """Writes the file anew."""
    target.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
