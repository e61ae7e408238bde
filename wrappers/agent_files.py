"""The three files of an agent: found in a folder or in MLflow, checked against their hash, and run."""

import hashlib
import json
import os
import re
import shutil
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

CODE, PROMPTS, CONFIG = "langgraph.py", "prompts.yaml", "config.json"
NAMES = (CODE, PROMPTS, CONFIG)
BUILT_IN = Path(__file__).resolve().parent / "agent_graph"
HASH_TAG = "whetstone.agent"
MOST_BYTES = 2**20

_REGISTERED = re.compile(r"models:/(?P<name>[A-Za-z0-9_-]{1,255})(?:/(?P<version>\d{1,9})|@(?P<alias>[a-z]{1,64}))")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LAST = "last.json"


class AgentRefused(ValueError):
    """Files that are no agent, or not the one that was saved; the message says expected, found and what to do."""


@dataclass(frozen=True)
class AgentFiles:
    """What the files held when they were hashed, which is what is run; `version` is what to call them."""

    contents: Mapping[str, bytes]
    version: str

    @property
    def digest(self) -> str:
        """One SHA-256 over the names and hashes of all three."""
        lines = [f"{name} {hashlib.sha256(self.contents[name]).hexdigest()}\n" for name in NAMES]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def graph(self) -> Any:
        """The graph that `build` of `langgraph.py` makes, not yet compiled. Executes that file."""
        import yaml

        try:
            prompts, config = yaml.safe_load(self.contents[PROMPTS]), json.loads(self.contents[CONFIG])
            return self._module().build(prompts, config)
        except (Exception, SystemExit) as error:
            raise AgentRefused(
                f"Expected build(prompts, config) in {CODE} of {self.version} to make a graph, found "
                f"{type(error).__name__}: {str(error)[:500]}"
            ) from error

    def _module(self) -> Any:
        """From what was read, never from the file again nor from a `.pyc` beside it."""
        module = ModuleType(f"whetstone_agent_{self.digest}")
        module.__file__ = CODE
        sys.modules[module.__name__] = module  # where typing looks up the names in its annotations
        exec(compile(self.contents[CODE], f"{self.version}:{CODE}", "exec"), module.__dict__)  # noqa: S102 -- that is what a model from code is
        return module


def checked(files: AgentFiles) -> Any:
    """The graph, compiled without a memory; AgentRefused where it is none that can be served. Executes the code."""
    made = files.graph()
    compiled = made.compile() if hasattr(made, "compile") else None
    if "messages" not in getattr(compiled, "channels", ()):
        raise AgentRefused(f"Expected {CODE} of {files.version} to make a StateGraph whose state has messages")
    return compiled


def from_folder(folder: Path, version: str | None = None) -> AgentFiles:
    """The files in a folder, flat or as MLflow lays them out. AgentRefused where one is missing or too large."""
    contents = {}
    for name in NAMES:
        found = [path for path in (folder / name, folder / "artifacts" / name) if path.is_file()]
        if len(found) != 1:
            raise AgentRefused(f"Expected one {name} in {folder}, found {len(found)}: an agent has {', '.join(NAMES)}")
        if found[0].is_symlink() or found[0].stat().st_size > MOST_BYTES:
            raise AgentRefused(f"Expected {name} in {folder} to be a plain file of at most {MOST_BYTES} bytes")
        contents[name] = found[0].read_bytes()
    return AgentFiles(contents, version or ("built-in" if folder == BUILT_IN else folder.name))


def from_registry(model_uri: str, cache: Path) -> AgentFiles:
    """The files of `models:/NAME@alias` or `models:/NAME/3` in this process's registry, also kept in `cache`.

    Nothing of them is executed before they were found to be those whose hash stands beside the version in the
    registry; only the three files are looked at, so that no pickle is ever read.
    """
    version = _version(model_uri)
    source, expected = f"models:/{version.name}/{version.version}", version.tags.get(HASH_TAG, "")
    if not _SHA256.fullmatch(expected):
        message = f"Expected a SHA-256 as tag {HASH_TAG} of {source}, found none: save the agent anew"
        raise AgentRefused(message)
    kept = cache / expected
    if _whole(kept, source, expected) is None:
        shutil.rmtree(kept, ignore_errors=True)
        _fetch(source, kept)
    found = from_folder(kept, source)
    if found.digest != expected:
        shutil.rmtree(kept)
        raise AgentRefused(
            f"Expected the files of {source} to have the SHA-256 {expected}, found {found.digest}: they were changed "
            "since they were saved, and are not run"
        )
    _remember(cache, {"uri": model_uri, "version": source, "digest": expected})
    return found


def from_cache(model_uri: str, cache: Path) -> AgentFiles | None:
    """What `model_uri` was when it was last loaded; None where nothing whole of it is kept."""
    try:
        last = json.loads((cache / _LAST).read_text(encoding="utf-8"))
        if last["uri"] != model_uri or not _SHA256.fullmatch(last["digest"]):
            return None
        return _whole(cache / last["digest"], str(last["version"]), last["digest"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _version(model_uri: str) -> Any:
    named = _REGISTERED.fullmatch(model_uri)
    if not named:
        raise AgentRefused("Expected models:/NAME@alias or models:/NAME/3 of our own registry, or a folder")
    import mlflow

    client = mlflow.MlflowClient()
    if named["alias"]:
        return client.get_model_version_by_alias(named["name"], named["alias"])
    return client.get_model_version(named["name"], named["version"])


def _whole(folder: Path, version: str, digest: str) -> AgentFiles | None:
    """The files of a folder; None where it has not these."""
    try:
        found = from_folder(folder, version)
    except (AgentRefused, OSError):
        return None
    return found if found.digest == digest else None


def _fetch(source: str, target: Path) -> None:
    """Into a folder aside, of which the three files are kept under its name at once."""
    import mlflow

    aside = target.with_name(f"{target.name}.tmp-{uuid.uuid4().hex}")
    aside.mkdir(parents=True)
    try:
        whole = Path(mlflow.artifacts.download_artifacts(artifact_uri=source, dst_path=str(aside / "whole")))
        for name, content in from_folder(whole).contents.items():
            (aside / name).write_bytes(content)
        shutil.rmtree(aside / "whole")
        aside.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _remember(cache: Path, last: Mapping[str, str]) -> None:
    unfinished = cache / f"{_LAST}.tmp-{os.getpid()}"
    unfinished.write_text(json.dumps(last), encoding="utf-8")
    unfinished.replace(cache / _LAST)
