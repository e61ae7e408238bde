"""An agent's graph into MLflow, and its scores: `python -m deploy.agent save [FOLDER] | evaluate FILE`."""

import argparse
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from core.conversation import Conversation
from core.formats import Columns
from resources import mlflow_store
from resources.mlflow_store import MlflowUnavailable
from resources.preflight import EXIT_STATUS
from resources.settings import Settings, SettingsError, read_settings
from resources.tracking import Experiment, experiment_id
from resources.upload_reading import Sample, Source, TaskRefused, format_in, samples
from wrappers.agent_files import BUILT_IN

if TYPE_CHECKING:
    from wrappers.agent import LangGraphWrapper

EXPERIMENT = "agents"


class NothingToDo(ValueError):
    """What was asked cannot be done; the message says what to change."""


def save(settings: Settings, folder: Path) -> str:
    """Registers the graph of a folder as AGENT_MODEL_NAME, under the alias that serving loads; what to tell."""
    if not settings.agent_model_name:
        raise NothingToDo("Under which name? Set AGENT_MODEL_NAME, which is also what the agent loads when it starts.")
    from wrappers.agent_saving import save_agent

    alias = settings.mlflow_model_stage.lower()
    _open_mlflow(settings)
    with mlflow_store.translated(settings.mlflow_tracking_uri):
        saved = save_agent(folder, settings.agent_model_name, alias)
    return f"{folder} is {saved}, under the alias {alias}; the agent runs it from its next start"


def evaluate(settings: Settings, file: Path, url: str) -> dict[str, float]:
    """Scores of the agent's replies to a file of conversations, asked of the champion behind `url`; also in MLflow."""
    golden = list(_conversations(file))
    champion = httpx.get(f"{url}/ready", timeout=10, trust_env=False).raise_for_status().json()["production"]
    agent = _agent(settings, url)
    _open_mlflow(settings)
    with mlflow_store.translated(settings.mlflow_tracking_uri):
        return agent.evaluate(golden, {"experiment": EXPERIMENT, "run_name": file.name[:255], "model": champion})


def _agent(settings: Settings, url: str) -> "LangGraphWrapper":
    """With the graph that serving would load."""
    from wrappers.agent import LangGraphWrapper
    from wrappers.agent_openai import openai_ask

    key = settings.api_key.get_secret_value() if settings.api_key else "unused"
    agent = LangGraphWrapper(openai_ask(f"{url}/v1", key), cache=settings.state_dir / "agent_graphs")
    if settings.agent_model_name:
        _open_mlflow(settings)
        with mlflow_store.translated(settings.mlflow_tracking_uri):
            agent.load(f"models:/{settings.agent_model_name}@{settings.mlflow_model_stage.lower()}")
    return agent


def _open_mlflow(settings: Settings) -> None:
    """Makes it the process's own, with an experiment whose files lie in the state folder."""
    mlflow_store.create(settings.mlflow_tracking_uri)
    client = mlflow_store.client(settings.mlflow_tracking_uri)
    with mlflow_store.translated(settings.mlflow_tracking_uri):
        experiment_id(client, Experiment(EXPERIMENT, settings.state_dir / "mlartifacts"))
        mlflow_store.import_mlflow().set_experiment(EXPERIMENT)


def _conversations(file: Path) -> Iterator[Conversation]:
    """Every reply of the file with the messages before it; FileRefused or TaskRefused where one does not read."""
    extension = "".join(file.suffixes[-2:] if file.suffix == ".gz" else file.suffixes[-1:])
    source = Source(0, file, extension, "auto", Columns(), datetime.now(UTC))
    for found in samples(source, format_in(source), keep_good=False):
        if not isinstance(found, Sample):
            raise TaskRefused(found.rule, f"line {found.line}: {found.message}")
        yield from found.conversations


def _run(parsed: argparse.Namespace, settings: Settings) -> str:
    if parsed.command == "save":
        return save(settings, (parsed.folder or BUILT_IN).absolute())
    url = f"http://127.0.0.1:{settings.fastapi_port}"
    found = evaluate(settings, parsed.file.absolute(), url)
    scores = "\n".join(f"{name:>14}  {value:.3f}" for name, value in found.items())
    return f"{scores}\nThe run is in MLflow, experiment {EXPERIMENT}"


def main(arguments: list[str] | None = None) -> int:
    """2 with a sentence where it cannot."""
    parser = argparse.ArgumentParser(prog="python -m deploy.agent", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("save").add_argument("folder", nargs="?", type=Path)
    commands.add_parser("evaluate").add_argument("file", type=Path)
    parsed = parser.parse_args(arguments)
    try:
        print(_run(parsed, read_settings()))
    except httpx.HTTPError as error:
        print(f"Whetstone does not answer ({type(error).__name__}): start it with make up", file=sys.stderr)
        return EXIT_STATUS
    except (SettingsError, MlflowUnavailable, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return EXIT_STATUS
    return 0


if __name__ == "__main__":
    sys.exit(main())
