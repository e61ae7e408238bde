"""The routes of models: what they take, what they refuse, and that a refusal changes nothing."""

import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.live_settings import LiveSettings
from resources.store import Store
from serve.auth import Keys
from tests.fakes import FakeFollower
from tests.resources.examples import SHA, claimed, conclude, event_types
from tests.resources.experiment_examples import design, two_versions

pytestmark = pytest.mark.anyio

URL = "/api/v1/admin/models"
BODY: dict[str, Any] = {"job_id": 2, "model_name": "support-bot", "version": "1.2.0", "tags": ["ko", "printer"]}


@pytest.fixture(scope="module")
def migrated(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """v1 superseded, v2 in production, v3 rejected; made once for all tests."""
    path = shutil.copy(migrated, tmp_path_factory.mktemp("three") / "three.db")
    store = Store(f"sqlite:///{path}", live_defaults=LiveSettings(), lineage="fake")
    two_versions(store)
    conclude(store, claimed(store, "three"), promoted=False)
    store.close()
    return Path(path)


@pytest.fixture
def follower() -> FakeFollower:
    return FakeFollower(versions=["v1", "v2", "v3", "v4"])


async def said(client: httpx.AsyncClient, path: str, body: Any = None) -> tuple[int, str]:
    answer = await client.post(URL + path, json=body)
    return answer.status_code, answer.json()["error"]["message"] if answer.is_error else answer.json().get("message")


async def test_a_finished_job_is_registered_and_shown(client: httpx.AsyncClient, tmp_path: Path) -> None:
    folder = tmp_path / "adapters" / "v2"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_bytes(b"x" * 2_000_000)
    answer = await client.post(f"{URL}/register", json=BODY)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert {key: made[key] for key in ("id", "model_name", "version", "base_model", "model_size_gb", "tags")} == {
        "id": 2,
        "model_name": "support-bot",
        "version": "1.2.0",
        "base_model": "tiny",
        "model_size_gb": 0.002,
        "tags": ["ko", "printer"],
    }
    shown = (await client.get(f"{URL}/2")).json()
    assert {key: shown[key] for key in made} == made
    assert (shown["status"], shown["reasons"], shown["adapter_sha256"]) == ("production", ["better on the new"], SHA)


async def test_the_same_name_again_sets_the_tags_and_another_is_refused(client: httpx.AsyncClient) -> None:
    await client.post(f"{URL}/register", json=BODY)
    again = await client.post(f"{URL}/register", json={**BODY, "tags": ["en"]})
    assert (again.status_code, again.json()["tags"]) == (201, ["en"])
    status, message = await said(client, "/register", {**BODY, "version": "1.3.0"})
    assert (status, "support-bot 1.2.0" in message) == (409, True)
    status, message = await said(client, "/register", {**BODY, "job_id": 1})
    assert (status, "taken by model 2" in message) == (409, True)
    assert (await client.get(f"{URL}/1")).json()["registered_at"] is None


async def test_an_unfinished_job_is_refused(client: httpx.AsyncClient, store: Store) -> None:
    claimed(store, "four")
    status, message = await said(client, "/register", {**BODY, "job_id": 4})
    assert (status, "finished job" in message) == (409, True)
    assert (await client.get(URL)).json()["total"] == 3
    assert (await client.get(f"{URL}/4")).status_code == 404


# changes to a sound body, the status they get, and what the sentence names
WRONG: list[tuple[dict[str, Any], int, str]] = [
    ({"job_id": 99}, 404, "v99"),
    ({"job_id": "2"}, 422, "job_id"),
    ({"job_id": True}, 422, "job_id"),
    ({"job_id": 2**40}, 422, "job_id"),
    ({"model_name": "고객-상담"}, 422, "letters A-Z"),
    ({"model_name": "a b"}, 422, "character 2"),
    ({"model_name": ""}, 422, "found 0 characters"),
    ({"model_name": "x" * 256}, 422, "found 256"),
    ({"version": "1.2"}, 422, "1.2.0"),
    ({"version": "01.2.3"}, 422, "1.2.0"),
    ({"version": "１.2.3"}, 422, "1.2.0"),
    ({"version": "v3"}, 422, "v2, the native name"),
    ({"tags": ["한국어"]}, 422, "tags[0]"),
    ({"tags": ["x" * 51]}, 422, "1 to 50"),
    ({"tags": "ko"}, 422, "tags"),
    ({"colour": "red"}, 422, "colour"),
]


async def test_a_wrong_name_is_refused_and_nothing_changed(client: httpx.AsyncClient, store: Store) -> None:
    events = store.events.page()
    for wrong, status, says in WRONG:
        answer = await client.post(f"{URL}/register", json={**BODY, **wrong})
        assert (answer.status_code, says in answer.json()["error"]["message"]) == (status, True), (wrong, answer.text)
    for body in (b"", b"[]", b'{"job_id": NaN}', b'{"model_name": "\\ud800"}'):
        assert (await client.post(f"{URL}/register", content=body)).status_code in (400, 422), body
    assert store.events.page() == events


async def test_a_list_is_narrowed_by_status_base_tags_and_name(client: httpx.AsyncClient) -> None:
    await client.post(f"{URL}/register", json=BODY)
    await client.post(f"{URL}/register", json={"job_id": 1, "model_name": "support-bot", "tags": ["ko"]})

    async def found(**wanted: Any) -> list[int]:
        page = (await client.get(URL, params=wanted)).json()
        assert page["total"] >= len(page["items"])
        return [item["id"] for item in page["items"]]

    assert await found() == [3, 2, 1]
    assert await found(status="archived") == [3, 1]
    assert await found(status="production") == [2]
    assert await found(base_model="tiny") == [3, 2, 1]
    assert await found(base_model="other") == []
    assert await found(tags="ko,printer") == [2, 1]
    assert await found(tags="ko,printer", match_all="true") == [2]
    assert await found(tags=["ko", "printer"], match_all="true") == [2]
    assert await found(search="SUPPORT") == [2, 1]
    assert await found(search="whetstone") == [3]
    assert await found(search="v1") == [1]
    assert await found(search="%") == []
    assert await found(page=2, page_size=2) == [1]
    for wrong in ({"status": "live"}, {"tags": "한국어"}, {"page": 0}, {"color": "x"}, {"match_all": "perhaps"}):
        assert (await client.get(URL, params=wrong)).status_code == 422, wrong


async def test_what_waits_at_staging_is_promoted_and_who_answered_is_archived(
    client: httpx.AsyncClient, store: Store
) -> None:
    store.experiments.add(design())
    conclude(store, claimed(store, "four"))  # passes while the experiment runs
    assert (await client.get(f"{URL}/4")).json()["status"] == "staging"
    answer = (await client.post(f"{URL}/4/promote", json={"target": "production"})).json()
    assert (answer["model_id"], answer["previous_status"], answer["current_status"]) == (4, "staging", "production")
    assert answer["promoted_at"].endswith("Z")
    assert "trial goes on" in answer["message"]
    assert (await client.get(f"{URL}/2")).json()["status"] == "archived"
    assert (store.champion.get().n, store.champion.get().previous) == (4, 2)
    events = len(event_types(store))
    again = (await client.post(f"{URL}/4/promote", json={})).json()
    assert (again["previous_status"], again["promoted_at"]) == ("production", answer["promoted_at"])
    assert len(event_types(store)) == events


async def test_a_rejected_version_needs_force_and_a_reason_that_is_kept(
    client: httpx.AsyncClient, store: Store
) -> None:
    status, message = await said(client, "/3/promote", {"target": "production"})
    assert (status, "better on the new" in message, "force" in message) == (409, True, True)
    assert (await said(client, "/3/promote", {"force": True}))[0] == 422
    assert (await said(client, "/3/promote", {"force": True, "reason": " "}))[0] == 422
    assert store.champion.get().n == 2
    done = (await client.post(f"{URL}/3/promote", json={"force": True, "reason": "고객 요청"})).json()
    assert done["current_status"] == "production"
    assert store.versions.get(3).override_reason == "고객 요청"
    assert store.events.page(type="champion_moved")[0].data["reason"] == "고객 요청"
    last = (await client.get(f"{URL}/3/lineage")).json()["replacements"][-1]
    assert (last["from"], last["to"], last["override"], last["reason"]) == ("v2", "v3", True, "고객 요청")


async def test_what_was_superseded_comes_back_by_rollback_alone(client: httpx.AsyncClient, store: Store) -> None:
    for body in ({}, {"force": True, "reason": "please"}):
        status, message = await said(client, "/1/promote", body)
        assert (status, "/1/rollback" in message) == (409, True)
    done = (await client.post(f"{URL}/1/rollback")).json()
    assert (done["previous_status"], done["current_status"]) == ("archived", "production")
    assert (store.champion.get().n, store.champion.get().previous) == (1, 2)
    assert event_types(store)[-1] == "rolled_back"
    status, message = await said(client, "/1/rollback")
    assert (status, "models/2/rollback" in message) == (200, True)  # sent twice, it is done once
    assert store.champion.get().previous == 2
    assert (await said(client, "/3/rollback"))[0] == 409  # never passed, never answered
    await client.post(f"{URL}/3/promote", json={"force": True, "reason": "try"})
    await client.post(f"{URL}/2/rollback", json={"reason": "worse"})
    assert (await said(client, "/3/rollback"))[0] == 200  # it has answered before


async def test_the_base_answers_again_by_rollback(client: httpx.AsyncClient, store: Store) -> None:
    answer = (await client.post(f"{URL}/base/rollback", json={"reason": "처음부터"})).json()
    assert (answer["previous_model_id"], answer["message"]) == (2, "the base answers instead of v2")
    assert store.champion.get().n is None
    assert (await client.post(f"{URL}/base/rollback")).json()["message"] == "the base answers already"


async def test_what_answers_or_has_no_verdict_is_not_archived(client: httpx.AsyncClient, store: Store) -> None:
    store.versions.mark_trained(claimed(store, "four"), SHA, {})
    assert (await client.get(f"{URL}/4")).json()["status"] == "staging"
    status, message = await said(client, "/2/archive")
    assert (status, "roll back" in message) == (409, True)
    assert (await said(client, "/2/promote", {"target": "archived"}))[0] == 409
    for path in ("/4/archive", "/4/promote"):
        assert "verdict" in (await said(client, path))[1]
    assert (await said(client, "/1/archive")) == (200, "v1 is archived already")


async def test_what_waits_at_staging_can_be_archived(client: httpx.AsyncClient, store: Store) -> None:
    experiment = store.experiments.add(design())
    conclude(store, claimed(store, "four"))
    done = (await client.post(f"{URL}/4/archive", json={"reason": "말투"})).json()
    assert (done["previous_status"], done["current_status"], done["promoted_at"]) == ("staging", "archived", None)
    assert store.events.page(type="archived")[0].data["reason"] == "말투"
    store.experiments.stop(experiment.id, "enough", "a person")
    assert store.champion.get().n == 2  # nobody promotes it at the end of the experiment


async def test_a_version_whose_files_are_gone_stays_where_it_is(
    client: httpx.AsyncClient, store: Store, follower: FakeFollower
) -> None:
    follower.versions = ["v2"]
    assert "on disk" in (await said(client, "/1/rollback"))[1]
    assert "on disk" in (await said(client, "/3/promote", {"force": True, "reason": "x"}))[1]
    assert store.champion.get().n == 2


async def test_scores_are_kept_and_the_newest_is_compared(client: httpx.AsyncClient) -> None:
    for n, name, score in ((1, "kobest", 0.5), (2, "kobest", 0.7), (1, "kobest", 0.6), (2, "mmlu", 1)):
        answer = await client.post(f"{URL}/{n}/benchmarks", json={"benchmark_name": name, "score": score})
        assert answer.status_code == 201, answer.text
    page = (await client.get(f"{URL}/1/benchmarks", params={"benchmark_name": "kobest"})).json()
    assert [item["score"] for item in page["items"]] == [0.6, 0.5]
    told = (await client.post(f"{URL}/compare", json={"model_ids": [1, 2, 3], "benchmark_name": "kobest"})).json()
    [kobest] = told["benchmarks"]
    assert (kobest["best"], kobest["not_measured"]) == (2, [3])
    assert [(s["model_id"], s["score"], s["behind_best"]) for s in kobest["scores"]] == [(1, 0.6, 0.1), (2, 0.7, 0.0)]
    assert [model["id"] for model in told["models"]] == [1, 2, 3]
    everything = (await client.post(f"{URL}/compare", json={"model_ids": [2, 1]})).json()["benchmarks"]
    assert [(found["benchmark_name"], found["best"]) for found in everything] == [("kobest", 2), ("mmlu", None)]
    assert (await client.get(f"{URL}/2")).json()["benchmarks"] == {"kobest": 0.7, "mmlu": 1.0}


async def test_a_score_sent_twice_with_its_key_is_kept_once(client: httpx.AsyncClient) -> None:
    headers = {"idempotency-key": "run-7"}
    body = {"benchmark_name": "kobest", "score": 0.5, "details": {"문항": 120}}
    first = await client.post(f"{URL}/1/benchmarks", json=body, headers=headers)
    assert (await client.post(f"{URL}/1/benchmarks", json=body, headers=headers)).json() == first.json()
    other = await client.post(f"{URL}/1/benchmarks", json={**body, "score": 0.6}, headers=headers)
    assert other.status_code == 409
    assert (await client.get(f"{URL}/1/benchmarks")).json()["total"] == 1


async def test_scores_and_comparisons_that_are_none_are_refused(client: httpx.AsyncClient) -> None:
    sound = {"benchmark_name": "kobest", "score": 0.5}
    for wrong in (
        {"score": 1.01}, {"score": -0.1}, {"score": True}, {"score": "0.5"}, {"score": None}, {"benchmark_name": ""},
        {"benchmark_name": "한국어"}, {"details": []}, {"details": {"a": "x" * 20_001}}, {"more": 1},
    ):  # fmt: skip
        answer = await client.post(f"{URL}/1/benchmarks", json={**sound, **wrong})
        assert answer.status_code == 422, (wrong, answer.text)
    assert (await client.post(f"{URL}/1/benchmarks", content=b'{"score": NaN}')).status_code == 400
    assert (await client.post(f"{URL}/9/benchmarks", json=sound)).status_code == 404
    assert (await client.get(f"{URL}/1/benchmarks")).json()["total"] == 0
    for ids, status in (([1], 422), ([1, 1], 422), ([1, 9], 404), (["v1", 2], 422), (list(range(1, 22)), 422)):
        assert (await client.post(f"{URL}/compare", json={"model_ids": ids})).status_code == status, ids


async def test_models_of_two_bases_are_neither_compared_nor_promoted(client: httpx.AsyncClient, store: Store) -> None:
    other = Store(store.database.url.render_as_string(), live_defaults=store.settings.get(), lineage="other")
    conclude(other, claimed(other, "four"))
    other.close()
    shown = (await client.get(f"{URL}/4")).json()
    assert (shown["base_model"], shown["status"]) == ("other", "archived")
    assert (await client.get(URL, params={"base_model": "other"})).json()["total"] == 1
    assert "different" in (await said(client, "/compare", {"model_ids": [2, 4]}))[1]
    for path in ("/4/promote", "/4/rollback"):
        assert "BASE_MODEL" in (await said(client, path))[1]


async def test_the_lineage_tells_base_data_experiment_and_who_was_replaced(
    client: httpx.AsyncClient, store: Store
) -> None:
    store.settings.change({"start_from": "champion"}, by="a person")
    claim = claimed(store, "four", "more")
    store.versions.set_dataset(claim, "d" * 64, {"accepted": 1})
    conclude(store, claim)
    arms = [{"name": name, "model": model, "weight": 0.5} for name, model in (("a", "v2"), ("b", "v4"))]
    made = store.experiments.add(design(arms=arms))
    store.experiments.conclude(made.id, "a", "shorter", "a person")
    found = (await client.get(f"{URL}/4/lineage")).json()
    assert found["base"] == {"base_model": "tiny", "fingerprint": "fake"}
    assert (found["start_from"], found["parent_id"], found["ancestors"]) == ("v2", 2, [2])
    assert found["dataset"] == {"hash": "d" * 64, "counts": {"accepted": 1, "claimed": 2, "triggers": 0}}
    assert found["conversations"] == {"by_provenance": {"human": 2}, "by_source": {"import": 2}}
    [tried] = found["experiments"]
    assert (tried["experiment_name"], tried["arm"], tried["status"], tried["won"]) == ("trial", "b", "completed", False)
    told = [(move["from"], move["to"], move["by"], move["reason"]) for move in found["replacements"]]
    assert told == [("v2", "v4", "the gate", "better on the new"), ("v4", "v2", "experiment trial", "shorter")]
    first = (await client.get(f"{URL}/1/lineage")).json()
    assert (first["start_from"], first["conversations"]["by_provenance"]) == ("base", {"human": 1})


async def test_unknown_models_are_not_found(client: httpx.AsyncClient) -> None:
    for path in ("/9", "/0", "/9/lineage", "/9/benchmarks", f"/{2**63}"):
        answer = await client.get(URL + path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found"), path
    for path in ("/9/promote", "/9/rollback", "/9/archive"):
        assert (await client.post(URL + path, json={})).status_code == 404, path
    assert (await client.get(f"{URL}/latest")).status_code == 422


async def test_a_model_is_found_by_its_native_name_too(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"{URL}/v2/lineage")).json()["id"] == 2
    assert (await client.post(f"{URL}/v1/rollback")).json()["model_id"] == 1
    for path in ("/vv2", "/v0", "/v2.0", "/v"):
        assert (await client.get(URL + path)).status_code == 422, path


@pytest.mark.parametrize("changes", [{"keys": Keys(True, "chat", "admin")}])
async def test_only_an_administrator_is_let_in(client: httpx.AsyncClient, store: Store) -> None:
    for key, status in ((None, 401), ("chat", 403), ("admin", 200)):
        headers = {"authorization": f"Bearer {key}"} if key else {}
        assert (await client.get(URL, headers=headers)).status_code == status
        answered = await client.post(f"{URL}/1/rollback", headers=headers)
        assert answered.status_code == status


async def test_the_page_of_the_api_names_what_each_route_refuses(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    ours = {path: routes for path, routes in paths.items() if path.startswith(URL)}
    assert len(ours) >= 10
    for path, routes in ours.items():
        for method, route in routes.items():
            expected = {"401", "403", "503"} | ({"409", "400"} if method == "post" else {"422"})
            assert expected - {"409" if "base" in path else ""} <= set(route["responses"]), (path, method)
