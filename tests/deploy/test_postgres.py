import shutil
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from deploy import postgres
from resources.database import parse_url


@pytest.mark.postgres
def test_a_private_server_answers_and_leaves_nothing_behind(postgres_server: str) -> None:
    with postgres.private_server() as address:
        assert address != postgres_server
        engine = create_engine(parse_url(f"{address}/postgres"))
        with engine.connect() as connection:
            data = Path(str(connection.execute(text("SHOW data_directory")).scalar_one()))
        engine.dispose()
        assert data.exists()
    assert not data.parent.exists()


def test_a_machine_without_postgres_says_so_loudly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(postgres, "DEBIAN", tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    problem = postgres.missing()
    assert problem is not None
    assert "NOT INSTALLED" in problem
    assert "apt-get install postgresql" in problem
    with pytest.raises(postgres.PostgresMissing, match="NOT INSTALLED"), postgres.private_server():
        pass
