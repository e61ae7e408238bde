import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from resources import mlflow_store
from resources.mlflow_store import MlflowUnavailable

pytestmark = pytest.mark.slow  # imports MLflow


def test_asking_for_a_missing_file_never_makes_one(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert mlflow_store.available(uri) is False
    with pytest.raises(MlflowUnavailable, match="put its file back"):
        mlflow_store.client(uri)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("named", [None, "sqlite:///as_it_was_set.db"])
def test_what_this_process_starts_reads_the_address_that_was_set(
    mlflow_uri: str, monkeypatch: pytest.MonkeyPatch, named: str | None
) -> None:
    import mlflow

    if named is None:
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    else:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", named)
    mlflow_store.client(mlflow_uri)
    assert os.environ.get("MLFLOW_TRACKING_URI") == named
    assert mlflow.get_tracking_uri() == mlflow_store.existing_uri(mlflow_uri)


def test_a_file_moved_away_while_it_is_open_is_not_made_anew(mlflow_uri: str) -> None:
    path = mlflow_store.sqlite_path(mlflow_uri)
    assert path is not None
    client = mlflow_store.client(mlflow_uri)
    client.search_experiments()
    path.rename(path.with_suffix(".away"))
    assert mlflow_store.available(mlflow_uri) is False
    with pytest.raises(MlflowUnavailable):
        mlflow_store.client(mlflow_uri)
    assert not path.exists()


def test_another_file_under_the_same_name_is_opened_anew(mlflow_uri: str, tmp_path: Path) -> None:
    path, other = mlflow_store.sqlite_path(mlflow_uri), tmp_path / "other" / "mlflow.db"
    assert path is not None
    other.parent.mkdir()
    shutil.copy(path, other)
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("UPDATE experiments SET name = 'of the other file'")
    assert mlflow_store.client(mlflow_uri).search_experiments()[0].name == "Default"
    other.replace(path)
    assert mlflow_store.client(mlflow_uri).search_experiments()[0].name == "of the other file"


def test_creating_sets_a_mode_in_which_readers_do_not_wait(mlflow_uri: str) -> None:
    path = mlflow_store.sqlite_path(mlflow_uri)
    assert path is not None
    assert path.read_bytes()[18:20] == b"\x02\x02", "the file format version of a WAL database"


def test_whoever_is_killed_while_it_is_made_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("resources.mlflow_store._show", killed)
        with pytest.raises(KeyboardInterrupt):
            mlflow_store.create(uri)
    assert list(tmp_path.iterdir()) == []
    mlflow_store.create(uri)
    assert mlflow_store.client(uri).search_experiments()[0].name == "Default"
    assert [path.name for path in tmp_path.iterdir() if "tmp" in path.name] == []


def test_one_that_is_there_is_left_alone(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    mlflow_store.create(f"sqlite:///{database}")
    with closing(sqlite3.connect(database)) as store, store:
        store.execute("insert into registered_models (name, workspace) values ('mine', 'default')")
    mlflow_store.create(f"sqlite:///{database}")
    with closing(sqlite3.connect(database)) as store:
        assert store.execute("select name from registered_models").fetchall() == [("mine",)]


def test_an_empty_file_that_somebody_left_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    mlflow_store.create(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert mlflow_store.client(f"sqlite:///{tmp_path / 'mlflow.db'}").search_experiments()


def test_a_path_with_odd_characters_works(mlflow_uri: str, tmp_path: Path) -> None:
    path = mlflow_store.sqlite_path(mlflow_uri)
    assert path is not None
    odd = tmp_path / "a folder % ü?#" / "mlflow.db"
    odd.parent.mkdir()
    shutil.copy(path, odd)
    assert mlflow_store.client(f"sqlite:///{odd}").search_experiments()
    assert {entry.name for entry in tmp_path.iterdir()} == {"mlflow.db", odd.parent.name}, "nothing else was made"


def test_a_server_that_does_not_answer_is_unavailable_within_seconds() -> None:
    assert mlflow_store.available("http://127.0.0.1:9") is False


def test_user_and_password_are_never_shown() -> None:
    assert mlflow_store.shown("http://ann:secret@mlflow.example:5000/x") == "http://mlflow.example:5000/x"
    assert mlflow_store.shown("https://mlflow.example") == "https://mlflow.example"
    with pytest.raises(MlflowUnavailable) as caught:
        mlflow_store.client("http://ann:secret@127.0.0.1:9")
    assert "secret" not in str(caught.value)


def test_what_mlflow_says_of_its_address_is_told_without_the_password() -> None:
    uri = "http://ann:secret@mlflow.example:5000/"
    with pytest.raises(MlflowUnavailable) as caught, mlflow_store.translated(uri):
        raise OSError(f"API request to {uri}api failed")
    assert "API request to http://mlflow.example:5000/api failed" in str(caught.value)
