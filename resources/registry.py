"""The model registry: one registered model, one registry version for each of ours, aliases over them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resources import mlflow_store
from resources.mlflow_store import MlflowUnavailable
from resources.tracking import VERSION_TAG, Experiment, experiment_id, has_run

FOREIGN = 0


class Registry(ABC):
    """What the graph and the alias reconciler need of a registry; `n` is our version number."""

    @abstractmethod
    def available(self) -> bool:
        """Whether it can be asked now. Never creates anything."""

    @abstractmethod
    def register(
        self, n: int, adapter_dir: Path, run_id: str | None, tags: Mapping[str, str], report: Path | None
    ) -> str:
        """The registry's own version number for `n`; registering twice gives the same. A deleted run is no error."""

    @abstractmethod
    def registered(self, n: int) -> str | None:
        """The registry's own version number for `n`, or None when it is not registered."""

    @abstractmethod
    def alias(self, name: str) -> int | None:
        """Our version number behind an alias; None when it is not set, FOREIGN when what it names is none of ours."""

    @abstractmethod
    def set_alias(self, name: str, n: int | None) -> None:
        """Point an alias at version `n`, None removes it; LookupError when `n` is not registered."""

    @abstractmethod
    def tag(self, n: int, tags: Mapping[str, str]) -> None:
        """Set tags of version `n`, leaving its others; LookupError when `n` is not registered."""


class MlflowRegistry(Registry):
    """MLflow's registry; every method raises MlflowUnavailable when it does not answer."""

    def __init__(self, tracking_uri: str, model_name: str, experiment: Experiment | None = None) -> None:
        self.tracking_uri = tracking_uri
        self.model_name = model_name
        self._experiment = experiment

    def available(self) -> bool:
        return mlflow_store.available(self.tracking_uri)

    def register(
        self, n: int, adapter_dir: Path, run_id: str | None, tags: Mapping[str, str], report: Path | None
    ) -> str:
        client = mlflow_store.client(self.tracking_uri)
        with mlflow_store.translated(self.tracking_uri):
            found = self._find(client, n)
            known = run_id if run_id and has_run(client, run_id) else None
            return found or self._create_version(client, n, adapter_dir, known, tags, report)

    def registered(self, n: int) -> str | None:
        client = mlflow_store.client(self.tracking_uri)
        with mlflow_store.translated(self.tracking_uri):
            return self._find(client, n)

    def alias(self, name: str) -> int | None:
        client = mlflow_store.client(self.tracking_uri)
        with mlflow_store.translated(self.tracking_uri):
            version = _version_behind(client, self.model_name, name)
        if version is None:
            return None
        number = version.tags.get(VERSION_TAG, "")
        return int(number) if number.isdecimal() else FOREIGN

    def set_alias(self, name: str, n: int | None) -> None:
        client = mlflow_store.client(self.tracking_uri)
        with mlflow_store.translated(self.tracking_uri):
            if n is None:
                if client.search_registered_models(f"name='{self.model_name}'"):
                    client.delete_registered_model_alias(self.model_name, name)
                return
            version = self._find(client, n)
            if version is None:
                raise LookupError(f"Expected v{n} in the registry before alias {name} is set, found none: register it")
            client.set_registered_model_alias(self.model_name, name, version)

    def tag(self, n: int, tags: Mapping[str, str]) -> None:
        client = mlflow_store.client(self.tracking_uri)
        with mlflow_store.translated(self.tracking_uri):
            version = self._find(client, n)
            if version is None:
                raise LookupError(f"Expected v{n} in the registry before it is tagged, found none: register it")
            for key, value in tags.items():
                client.set_model_version_tag(self.model_name, version, key, value)

    def _find(self, client: Any, n: int) -> str | None:
        found = client.search_model_versions(f"name='{self.model_name}' and tags.`{VERSION_TAG}`='{n}'")
        return str(min(int(version.version) for version in found)) if found else None

    def _create_version(
        self,
        client: Any,
        n: int,
        adapter_dir: Path,
        run_id: str | None,
        tags: Mapping[str, str],
        report: Path | None,
    ) -> str:
        if not client.search_registered_models(f"name='{self.model_name}'"):
            client.create_registered_model(self.model_name)
        model = self._logged_model(client, n, adapter_dir, run_id, tags)
        description = report.read_text(encoding="utf-8").partition("\n## ")[0] if report else None
        version = client.create_model_version(
            self.model_name,
            source=model.model_uri,
            run_id=run_id,
            tags={**tags, VERSION_TAG: str(n)},
            description=description,
            model_id=model.model_id,
        )
        return str(version.version)

    def _logged_model(self, client: Any, n: int, adapter_dir: Path, run_id: str | None, tags: Mapping[str, str]) -> Any:
        """The version's files as a LoggedModel; one left unfinished by a crash is removed first."""
        experiment = client.get_run(run_id).info.experiment_id if run_id else self._experiment_id(client)
        for left in client.search_logged_models([experiment], filter_string=f"tags.`{VERSION_TAG}`='{n}'"):
            client.delete_logged_model(left.model_id)
        model = client.create_logged_model(
            experiment,
            name=f"{'model' if tags.get('method') == 'full' else 'adapter'}-v{n}",
            source_run_id=run_id,
            tags={**tags, VERSION_TAG: str(n)},
            model_type="whole-model" if tags.get("method") == "full" else "lora-adapter",
        )
        client.log_model_artifacts(model.model_id, str(adapter_dir))
        return client.finalize_logged_model(model.model_id, "READY")

    def _experiment_id(self, client: Any) -> str:
        if self._experiment is None:
            raise MlflowUnavailable("Expected an experiment to register a version without a run, found none configured")
        return experiment_id(client, self._experiment)


def _version_behind(client: Any, model_name: str, alias: str) -> Any | None:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(model_name, alias)
    except MlflowException as error:
        # the codes of a model and of an alias that are not there
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
