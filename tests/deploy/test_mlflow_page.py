"""The MLflow page opens a store that is there, and makes no other in its place."""

from pathlib import Path

import pytest

from deploy import mlflow_page
from resources.settings import Settings


def test_the_server_never_makes_an_empty_store_in_place_of_one_that_went_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # which MLflow itself sets for whoever used it before
    settings = Settings(state_dir=tmp_path)
    with pytest.raises(FileNotFoundError):
        mlflow_page.command(settings)
    (tmp_path / "mlflow.db").touch()
    command = mlflow_page.command(settings)
    assert "mode=rw&" in command[command.index("--backend-store-uri") + 1]
    assert command[command.index("--host") + 1] == "127.0.0.1"
