import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from core.live_settings import LiveSettings
from resources import plots
from resources.store import Store, open_store
from tests.conftest import LINEAGE
from tests.workshop import Workshop, workshop


@pytest.fixture
def shop(sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """A workshop that spends no time on drawing."""

    def draw(*arguments: object) -> Path:
        path = arguments[-1]
        assert isinstance(path, Path)
        path.write_bytes(b"a picture")
        return path

    for picture in ("loss_curve", "differences", "bars", "shares"):
        monkeypatch.setattr(plots, picture, draw)
    return workshop(sqlite_store, tmp_path / "state")


@dataclass(frozen=True)
class Finished:
    shop: Workshop
    result: dg.ExecuteInProcessResult


@pytest.fixture(scope="module")
def finished(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    """One promoted version with everything drawn, for tests that only look at it."""
    folder = tmp_path_factory.mktemp("finished")
    shutil.copy(migrated_sqlite, folder / "whetstone.db")
    store = open_store(f"sqlite:///{folder / 'whetstone.db'}", live_defaults=LiveSettings(), lineage=LINEAGE)
    shop = workshop(store, folder / "state")
    shop.capture(0, 60)
    yield Finished(shop, shop.run())
    store.close()
