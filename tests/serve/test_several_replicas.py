"""Several replicas of the engine in a real Ray Serve, over doubles of vLLM: all load before any traffic moves."""

import asyncio
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serve.engine_client import AdapterNotServed, HandleEngine
from serve.last_served import LastChampion, keep_champion
from tests.serve.replica_double import LINEAGE, ReplicaDouble

pytestmark = [pytest.mark.engine, pytest.mark.slow]

Report = tuple[int, list[str], list[str]]


class Fleet:
    def __init__(self, handle: Any, state: Path) -> None:
        self.handle, self.state, self.engine = handle, state, HandleEngine(handle)

    async def reports(self) -> dict[int, Report]:
        found: list[Report] = await self.handle.broadcast("report").results_async(return_exceptions=True)
        return {one[0]: one for one in found if isinstance(one, tuple)}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    import ray
    from ray import serve

    state = tmp_path_factory.mktemp("state")
    for n in range(1, 9):
        (state / "adapters" / f"v{n}").mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="fleet-") as folder:
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=100 * 2**20,
            log_to_driver=False,
            _temp_dir=folder,
        )
        try:
            options = {"num_cpus": 0}
            deployment = serve.deployment(
                name="Engine", num_replicas=2, ray_actor_options=options, health_check_period_s=1
            )(ReplicaDouble)
            handle = serve.run(deployment.bind(state), name="fleet", route_prefix=None)
            yield Fleet(handle, state)
        finally:
            serve.shutdown()
            ray.shutdown()


def test_every_replica_holds_what_is_ensured(fleet: Fleet) -> None:
    async def play() -> None:
        done = await fleet.engine.ensure("v1", ["v1"])
        assert done["loaded"]
        reports = await fleet.reports()
        assert len(reports) == 2
        assert all(held == ["v1"] for _, _, held in reports.values())
        assert await fleet.engine.ensure("v1", ["v1"]) == {"loaded": False, "seconds": 0.0}

    asyncio.run(play())


def test_one_replica_that_refuses_is_a_refusal_of_all(fleet: Fleet) -> None:
    async def play() -> None:
        one, other = await fleet.reports()
        sign = fleet.state / f"refuse-{one}"
        sign.touch()
        with pytest.raises(AdapterNotServed, match="refused by one of them"):
            await fleet.engine.ensure("v2", ["v2", "v1"])
        reports = await fleet.reports()
        assert ("v2" in reports[one][2], "v2" in reports[other][2]) == (False, True)
        assert sorted(await fleet.engine.loaded()) == ["v1", "v2"]  # what one holds is in use
        sign.unlink()
        await fleet.engine.ensure("v2", ["v2", "v1"])
        assert all("v2" in held for _, _, held in (await fleet.reports()).values())

    asyncio.run(play())


def test_a_new_replica_holds_champion_and_the_one_before_when_it_is_ready(fleet: Fleet) -> None:
    async def play() -> None:
        keep_champion(fleet.state, LastChampion(LINEAGE, 2, 1))
        before = await fleet.reports()
        os.kill(next(iter(before)), signal.SIGKILL)
        async with asyncio.timeout(60):
            while not (new := set(reports := await fleet.reports()) - set(before)) or len(reports) < 2:
                await fleet.engine.ensure("v2", ["v2", "v1"])  # goes on with those that are left
                await asyncio.sleep(0.1)
        assert reports[new.pop()][1] == ["v2", "v1"]

    asyncio.run(play())
