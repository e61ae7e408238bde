"""An agent as a model from code in MLflow: a registered version whose tag holds the hash that a load checks."""

import tempfile
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from wrappers.agent_files import CODE, CONFIG, HASH_TAG, PROMPTS, AgentFiles, checked, from_folder


def save_agent(folder: Path, model_name: str, alias: str | None = None) -> str:
    """Register the files of a folder, and point the alias at them; `models:/NAME/3`. The same files are saved once.

    AgentRefused where they make no graph. MLflow and the experiment of the run are those of the process.
    """
    files = from_folder(folder)
    checked(files)
    import mlflow

    client = mlflow.MlflowClient()
    known = client.search_model_versions(f"name='{model_name}' and tags.`{HASH_TAG}`='{files.digest}'")
    number = str(min(int(each.version) for each in known)) if known else _register(client, files, model_name)
    if alias:
        client.set_registered_model_alias(model_name, alias, number)
    return f"models:/{model_name}/{number}"


def _register(client: Any, files: AgentFiles, model_name: str) -> str:
    import mlflow

    with tempfile.TemporaryDirectory() as passing:
        folder = Path(passing)
        for name, content in files.contents.items():
            (folder / name).write_bytes(content)
        with mlflow.start_run(run_name=model_name, nested=mlflow.active_run() is not None) as run:
            logged = mlflow.pyfunc.log_model(
                name="agent",
                python_model=str(folder / CODE),
                artifacts={name: str(folder / name) for name in (PROMPTS, CONFIG)},
                pip_requirements=[f"{name}=={installed(name)}" for name in ("langgraph", "openai", "pyyaml")],
            )
    if not client.search_registered_models(f"name='{model_name}'"):
        client.create_registered_model(model_name)
    tags = {HASH_TAG: files.digest}
    made = client.create_model_version(model_name, source=logged.model_uri, run_id=run.info.run_id, tags=tags)
    return str(made.version)
