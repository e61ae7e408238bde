"""The MLflow page: it lays out a store where there is none and leaves one that is there alone."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from deploy import mlflow_page
from resources.settings import Settings


@pytest.mark.slow
def test_a_new_store_appears_whole_and_is_left_alone_afterwards(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    mlflow_page.lay_out(database)
    with closing(sqlite3.connect(database)) as store, store:
        assert store.execute("pragma journal_mode").fetchone() == ("wal",), "readers do not wait for a run that writes"
        store.execute("insert into registered_models (name, workspace) values ('mine', 'default')")
    mlflow_page.lay_out(database)
    with closing(sqlite3.connect(database)) as store:
        assert store.execute("select name from registered_models").fetchall() == [("mine",)]
    assert [path.name for path in tmp_path.iterdir() if ".tmp-" in path.name] == []


def test_the_server_never_makes_an_empty_store_in_place_of_one_that_went_missing(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    with pytest.raises(FileNotFoundError):
        mlflow_page.command(settings)
    (tmp_path / "mlflow.db").touch()
    command = mlflow_page.command(settings)
    assert "mode=rw&" in command[command.index("--backend-store-uri") + 1]
    assert command[command.index("--host") + 1] == "127.0.0.1"
