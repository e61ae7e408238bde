"""What a person reads when a setting cannot be used."""

import difflib
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic_settings import BaseSettings


def sentence(kind: type[BaseSettings], error: Any) -> str:
    """One validation error in words; a value that may hold a secret is not repeated."""
    if not error["loc"]:
        return str(error["msg"]).removeprefix("Value error, ") + "."
    name = str(error["loc"][0])
    if error["type"] != "extra_forbidden":
        found = "" if _may_hold_secret(kind, name) else f", found {error['input']!r}"
        return f"Setting {name.upper()}: {str(error['msg']).removeprefix('Value error, ')}{found}; see .env.example."
    near = difflib.get_close_matches(name.lower(), kind.model_fields, n=1)
    meant = f"did you mean {near[0].upper()}?" if near else "remove it, or see .env.example for the names."
    return f"Unknown setting {name} in {_origin(kind, name)}: {meant}"


def _may_hold_secret(kind: type[BaseSettings], name: str) -> bool:
    return name.endswith(("_url", "_uri")) or "SecretStr" in str(kind.model_fields[name].annotation)


def _origin(kind: type[BaseSettings], name: str) -> str:
    env_file = Path(str(kind.model_config.get("env_file")))
    if env_file.is_file() and name.lower() in {key.lower() for key in dotenv_values(env_file)}:
        return env_file.name
    return "config.yaml"
