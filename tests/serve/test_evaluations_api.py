"""A version is evaluated again over HTTP: what is taken, what is refused, and how it is followed."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from core.gate import GateThresholds
from resources.reevaluation import Reevaluations
from resources.store import Store
from tests.resources.experiment_examples import two_versions
from tests.resources.test_evaluations import Measures
from tests.serve.test_datasets_api import sent

pytestmark = pytest.mark.anyio

URL = "/api/v1/admin/models"


@pytest.fixture
async def model(store: Store, tmp_path: Path) -> str:
    """v1, with its adapter."""
    two_versions(store)
    folder = tmp_path / "adapters" / "v1"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    return f"{URL}/v1"


async def test_it_is_asked_for_followed_and_read(
    client: httpx.AsyncClient, store: Store, tmp_path: Path, model: str
) -> None:
    answer = await client.post(f"{model}/evaluate", json={}, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 202, answer.text
    asked = answer.json()
    assert (asked["status"], asked["model_id"], asked["promoted"]) == ("pending", 1, None)
    assert (await client.post(f"{model}/evaluate", json={}, headers={"Idempotency-Key": "k"})).json() == asked
    at = f"{model}/evaluations/{asked['id']}"
    assert (await client.get(f"{at}/report.html")).status_code == 404
    Reevaluations(store, Measures(tmp_path), tmp_path, GateThresholds(), 5.0).turn()  # type: ignore[arg-type]
    found = (await client.get(at)).json()
    assert (found["status"], found["promoted"], found["compared_with"]) == ("completed", True, "base")
    assert set(found["metrics"]) == {"accuracy", "f1", "perplexity", "bleu", "chrf"}
    assert [row["id"] for row in (await client.get(f"{model}/evaluations")).json()["items"]] == [asked["id"]]
    assert "compared with the base" in (await client.get(f"{at}/report.html")).text
    page = (await client.get(f"{model}/report")).text
    assert f'href="evaluations/{asked["id"]}/report.html"' in page
    assert "would pass" in page


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"metrics": ["rouge"]}, 422, "metrics"),
        ({"metrics": []}, 422, "metrics"),
        ({"dataset_id": "../etc"}, 422, "dataset_id"),
        ({"dataset_id": 99}, 404, "dataset 99"),
        ({"promote": True}, 422, "promote"),
    ],
)
async def test_what_it_does_not_take_is_named(
    client: httpx.AsyncClient, model: str, body: dict[str, Any], status: int, says: str
) -> None:
    answer = await client.post(f"{model}/evaluate", json=body)
    assert answer.status_code == status, answer.text
    assert says in answer.text
    assert (await client.get(f"{model}/evaluations")).json()["total"] == 0


async def test_only_a_golden_set_measures(client: httpx.AsyncClient, model: str) -> None:
    trained = await sent(client, name="train")
    golden = await sent(client, name="gold", kind="golden")
    refused = await client.post(f"{model}/evaluate", json={"dataset_id": trained["id"]})
    assert refused.status_code == 409
    assert "kind=golden" in refused.text
    taken = await client.post(f"{model}/evaluate", json={"dataset_id": golden["id"], "metrics": ["f1"]})
    assert taken.status_code == 202, taken.text
    assert taken.json()["metrics"] == {"f1": None}


async def test_a_version_whose_adapter_is_gone_is_not_taken(client: httpx.AsyncClient, model: str) -> None:
    answer = await client.post(f"{URL}/2/evaluate", json={})
    assert answer.status_code == 409
    assert "found it removed" in answer.text


async def test_an_evaluation_of_another_version_is_not_found(client: httpx.AsyncClient, model: str) -> None:
    asked = (await client.post(f"{model}/evaluate", json={})).json()
    assert (await client.get(f"{URL}/2/evaluations/{asked['id']}")).status_code == 404
    assert (await client.get(f"{model}/evaluations/{2**70}")).status_code == 404
