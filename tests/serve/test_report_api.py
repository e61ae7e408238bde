"""The report over HTTP: the page as it stands now, for whom there is one."""

from pathlib import Path

import httpx
import pytest

from resources.store import Store
from tests.resources.examples import claimed, conclude
from tests.resources.experiment_examples import two_versions
from tests.resources.test_report import evaluation

pytestmark = pytest.mark.anyio

URL = "/api/v1/admin/models"


async def test_the_report_of_a_judged_version_is_a_page(
    client: httpx.AsyncClient, store: Store, tmp_path: Path
) -> None:
    two_versions(store)
    folder = tmp_path / "reports" / "v2"
    folder.mkdir(parents=True)
    measured = evaluation(champion=1).model_copy(update={"version": 2})
    (folder / "evaluation.json").write_text(measured.model_dump_json(), encoding="utf-8")
    answer = await client.get(f"{URL}/v2/report")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "compared with v1" in answer.text
    assert "Change of each conversation" in answer.text


async def test_without_measurements_the_verdict_is_told(client: httpx.AsyncClient, store: Store) -> None:
    conclude(store, claimed(store, "one"), promoted=False)
    answer = await client.get(f"{URL}/1/report")
    assert answer.status_code == 200, answer.text
    assert "rejected" in answer.text


@pytest.mark.parametrize("id", ["7", "0", "-1", str(2**40)])
async def test_a_version_that_is_not_there_has_none(client: httpx.AsyncClient, id: str) -> None:
    answer = await client.get(f"{URL}/{id}/report")
    assert answer.status_code == 404
    assert "found none" in answer.json()["error"]["message"]


async def test_a_version_that_is_not_judged_yet_says_when_there_will_be_one(
    client: httpx.AsyncClient, store: Store
) -> None:
    claimed(store, "one")
    answer = await client.get(f"{URL}/1/report")
    assert answer.status_code == 404
    assert "written when the version is judged" in answer.json()["error"]["message"]


async def test_two_versions_are_shown_side_by_side(client: httpx.AsyncClient, store: Store, tmp_path: Path) -> None:
    two_versions(store)
    for n, gain in ((1, 0.2), (2, 0.5)):
        folder = tmp_path / "reports" / f"v{n}"
        folder.mkdir(parents=True)
        measured = evaluation(gain).model_copy(update={"version": n})
        (folder / "evaluation.json").write_text(measured.model_dump_json(), encoding="utf-8")
    answer = await client.get(f"{URL}/2/report/v1")
    assert answer.status_code == 200, answer.text
    assert "v2 beside v1" in answer.text
    assert "lower than that of v1" in answer.text


@pytest.mark.parametrize(("path", "status"), [("2/report/2", 409), ("2/report/9", 404), ("9/report/2", 404)])
async def test_what_cannot_be_compared_says_why(
    client: httpx.AsyncClient, store: Store, path: str, status: int
) -> None:
    two_versions(store)
    answer = await client.get(f"{URL}/{path}")
    assert answer.status_code == status
    assert answer.json()["error"]["message"].startswith("Expected ")
