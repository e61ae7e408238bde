import shutil
from pathlib import Path

import pytest

from resources import mlflow_store


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables, laid out once."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow_store.create(f"sqlite:///{path}")
    return path


@pytest.fixture
def mlflow_uri(empty_mlflow: Path, tmp_path: Path) -> str:
    path = tmp_path / "mlflow.db"
    shutil.copy(empty_mlflow, path)
    return f"sqlite:///{path}"
