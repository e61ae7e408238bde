"""Each point that is named in the promise is struck once, on both databases, and the loop goes on by itself."""

import threading
from pathlib import Path

import pytest

from tests.conftest import create_database
from tests.faults.base import prepared
from tests.faults.catalogue import NAMED, Fault
from tests.faults.lane import Lane
from tests.faults.play import Outcome, Player

pytestmark = [pytest.mark.daemon, pytest.mark.slow, pytest.mark.postgres]

# by database, all in one version: a version and the one after it take a minute or two
ON_SQLITE = (
    "kill the daemon when its tick is created",
    "kill the daemon when run ids are reserved",
    "kill the daemon when the run is created",
    "kill the daemon when the run is queued",
    "kill the worker before the claim",
    "kill the worker after the claim",
    "kill trainer between writing a checkpoint and its rename",
)
ON_POSTGRES = (
    "kill the daemon when its tick is held",
    "kill the worker in the claim, before its commit",
    "kill trainer during training",
    "kill trainer between the adapter's rename and the end of its stage",
    "kill the worker between registered version and promotion",
    "kill the worker after the promotion",
    "kill the ingress between setting an alias and noting it",
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    prepared(folder)
    return folder


@pytest.fixture(scope="module")
def outcomes(postgres_server: str, models: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    """Two loops beside each other, one on each database; a loop waits more than it works."""
    states = tmp_path_factory.mktemp("states")
    create_database(postgres_server, "faults")
    # one after the other: Alembic migrates one store a process at a time
    lanes = [
        (Lane(states / "sqlite", models), "sqlite", ON_SQLITE),
        (Lane(states / "postgres", models, f"{postgres_server}/faults"), "postgres", ON_POSTGRES),
    ]
    found: list[Outcome] = []
    threads = [threading.Thread(target=_play, args=(*lane, found)) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def _play(lane: Lane, database: str, names: tuple[str, ...], found: list[Outcome]) -> None:
    player = Player(lane, database)
    try:
        lane.start()
        player.play([_named(name) for name in names])
        found += player.rest()
    except Exception:  # noqa: BLE001 - the outcomes say it, and the tests look at each
        found += player.unfinished()
    finally:
        lane.end()


def _named(name: str) -> Fault:
    return next(fault for fault in NAMED if fault.name == name)


@pytest.mark.parametrize("name", [*ON_SQLITE, *ON_POSTGRES])
def test_whoever_is_killed_nothing_is_lost_or_doubled_and_the_loop_goes_on(outcomes: list[Outcome], name: str) -> None:
    outcome = next(one for one in outcomes if one.fault == name)
    assert outcome.struck, "nobody came to this point"
    assert outcome.found == []
    assert outcome.decided in ("promoted", "rejected")
    assert outcome.went_on, "the version after it was not decided"
    assert outcome.facts > 100
