"""Deploying a model: what is held at once, what waits for the next start, and what is refused."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from resources.kept import needed
from resources.settings import read_settings
from resources.store import Store
from serve.deployment_plan import DeploymentPlan
from tests.fakes import FakeEngine
from tests.resources.examples import event_types
from tests.resources.experiment_examples import design
from tests.serve.test_models_api import URL, follower, migrated, said  # noqa: F401 (fixtures)

pytestmark = pytest.mark.anyio


def plan(gpus: float, **chosen: Any) -> dict[str, Any]:
    return {"plan": DeploymentPlan(read_settings(state_dir=Path("unused"), **chosen), gpus), "engine_adapters": 4}


CPU, TWO_GPUS = pytest.param(plan(0), id="cpu"), pytest.param(plan(2), id="two GPUs")


@pytest.mark.parametrize("changes", [CPU])
async def test_a_pinned_version_is_held_and_its_files_kept(
    client: httpx.AsyncClient, store: Store, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def loaded() -> list[str]:
        return ["v3"]

    monkeypatch.setattr(engine, "loaded", loaded)
    told = (await client.post(f"{URL}/3/deploy", json={"pinned": True})).json()
    assert (told["pinned"], told["resident"], told["at_next_start"]) == (True, True, [])
    assert told["live"] == ["v3 is held in every engine within seconds, and after each start"]
    assert 3 in needed(store)
    assert (await client.get(f"{URL}/3")).json()["pinned"]
    assert (await client.post(f"{URL}/3/deploy", json={"pinned": True})).status_code == 200
    assert [item["pinned"] for item in (await client.get(URL)).json()["items"]] == [True, False, False]
    for _ in range(2):
        assert not (await client.post(f"{URL}/3/deploy", json={"pinned": False})).json()["pinned"]
    assert event_types(store)[-2:] == ["pinned", "unpinned"]


@pytest.mark.parametrize("changes", [{**plan(0), "engine_adapters": 2}])
async def test_no_more_is_pinned_than_an_engine_holds(client: httpx.AsyncClient, store: Store) -> None:
    assert (await said(client, "/1/deploy", {"pinned": True}))[0] == 200  # held already: it answered before
    status, message = await said(client, "/3/deploy", {"pinned": True})
    assert (status, "v1, v2, v3: raise ENGINE_ADAPTERS or unpin one" in message) == (409, True)
    assert store.deployments.pinned() == [1]


@pytest.mark.parametrize("changes", [CPU])
async def test_an_experiment_leaves_room_for_what_is_pinned(client: httpx.AsyncClient, store: Store) -> None:
    store.experiments.add(design())
    assert (await said(client, "/3/deploy", {"pinned": True}))[0] == 200
    assert store.deployments.pinned() == [3]


@pytest.mark.parametrize("changes", [CPU])
async def test_what_cannot_be_held_is_refused(client: httpx.AsyncClient, store: Store, follower: Any) -> None:  # noqa: F811
    follower.versions = ["v2"]
    assert "on disk" in (await said(client, "/1/deploy", {"pinned": True}))[1]
    assert (await said(client, "/9/deploy", {"pinned": True}))[0] == 404
    assert (await said(client, "/9/deploy", {"pinned": False}))[0] == 404
    events = store.events.page()
    for wrong in (
        {}, {"pinned": 1}, {"replicas": 0}, {"replicas": "2"}, {"max_replicas": 65}, {"fractions": {}},
        {"fractions": {"engine": 1.2}}, {"fractions": {"엔진": 0.1}}, {"fractions": 0.5}, {"gpu": 1},
    ):  # fmt: skip
        assert (await client.post(f"{URL}/2/deploy", json=wrong)).status_code == 422, wrong
    assert store.events.page() == events


@pytest.mark.parametrize("changes", [TWO_GPUS])
async def test_replicas_and_shares_wait_for_the_next_start_and_say_so(client: httpx.AsyncClient, store: Store) -> None:
    body = {"replicas": 2, "fractions": {"engine": 0.7, "second_engine": 0.2, "rest": 0.1}}
    told = (await client.post(f"{URL}/2/deploy", json=body)).json()
    assert (told["live"], told["running"]["replicas"], told["running"]["fractions"]["engine"]) == ([], 1, 0.45)
    assert told["at_next_start"][0] == "ENGINE_REPLICAS=2 at the next start (1 now)"
    assert told["chosen_for_next_start"] == {
        "replicas": 2,
        "fractions": {"engine": 0.7, "second_engine": 0.2, "rest": 0.1},
    }
    chosen = store.deployments.chosen()
    assert chosen["engine_gpu_fraction"] == 0.7
    status, message = await said(client, "/2/deploy", {"replicas": 3})
    assert (status, "3 × 0.7 for the engine" in message) == (422, True)
    status, message = await said(client, "/2/deploy", {"max_replicas": 1})
    assert (status, "ENGINE_MAX_REPLICAS=1 is less" in message) == (422, True)
    assert store.deployments.chosen() == chosen
    back = (await client.post(f"{URL}/2/deploy", json={"replicas": None, "fractions": None})).json()
    assert (back["chosen_for_next_start"], store.deployments.chosen()) == ({"fractions": {}}, {})


@pytest.mark.parametrize("changes", [CPU])
async def test_a_share_of_a_gpu_that_is_not_there_is_refused_and_nothing_pinned(
    client: httpx.AsyncClient, store: Store
) -> None:
    status, message = await said(client, "/3/deploy", {"pinned": True, "fractions": {"engine": 0.5}})
    assert (status, "ENGINE_GPU_FRACTION=0.5 needs a GPU" in message) == (422, True)
    assert store.deployments.pinned() == []
    assert (await said(client, "/3/deploy", {"replicas": 2}))[0] == 200
