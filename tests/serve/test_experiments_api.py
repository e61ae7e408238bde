"""The routes of experiments: what they take, what they refuse, and that a refusal changes nothing."""

from typing import Any

import httpx
import pytest

from resources.store import Store
from tests.fakes import FakeFollower
from tests.resources.examples import claimed, conclude
from tests.resources.experiment_examples import replies, two_versions
from tests.serve.test_teacher import lesson, upstream

pytestmark = pytest.mark.anyio

URL = "/api/v1/admin/ab-tests"
BODY: dict[str, Any] = {
    "experiment_name": "말투-1",
    "model_a_id": 1,
    "model_b_id": 2,
    "traffic_split": {"a": 0.7, "b": 0.3},
    "target_samples": 40,
    "success_metric": "rating",
}
LOG = {"user_id": "kim", "query": "프린터?", "response": "케이블", "response_time_ms": 812.5}


@pytest.fixture
async def made(client: httpx.AsyncClient, store: Store) -> dict[str, Any]:
    two_versions(store)
    answer = await client.post(URL, json=BODY)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def test_it_is_made_running_and_shown(client: httpx.AsyncClient, made: dict[str, Any]) -> None:
    assert made["status"] == "running"
    assert (made["experiment_name"], made["model_a_id"], made["model_b_id"]) == ("말투-1", 1, 2)
    assert made["traffic_split"] == {"a": 0.7, "b": 0.3}
    assert (await client.get(f"{URL}/{made['id']}")).json() == made
    page = (await client.get(URL, params={"status": "running", "search": "말투"})).json()
    assert (page["total"], page["items"]) == (1, [made])


# changes to a sound body, the status they get, and what the sentence names
WRONG: list[tuple[dict[str, Any], int, str]] = [
    ({"traffic_split": {"a": 0.7, "b": 0.7}}, 422, "sum to 1"),
    ({"traffic_split": {"a": 1.2, "b": -0.2}}, 422, "traffic_split"),
    ({"traffic_split": {"a": 0.5, "c": 0.5}}, 422, "share out a and b"),
    ({"model_b_id": 1}, 422, "model of its own"),
    ({"model_b_id": None}, 422, "model_a_id and model_b_id"),
    ({"model_b_id": 99}, 404, "v99"),
    ({"model_b_id": 0}, 422, "such as v3"),
    ({"model_b_id": "agent"}, 409, "AGENT_ENABLED"),
    ({"model_b_id": "teacher"}, 409, "OPENAI_API_KEY"),
    ({"model_b_id": 3}, 409, "rejected"),
    ({"experiment_name": "a name!"}, 422, "experiment_name: expected letters, digits, - and _"),
    ({"target_samples": 29}, 422, "30"),
    ({"success_metric": "clicks"}, 422, "success_metric"),
    ({"coverage": 2}, 422, "coverage"),
    ({"arms": [{"name": "x", "model": "base", "weight": 1}]}, 422, "arms"),
    ({"colour": "red"}, 422, "colour"),
    ({"minimum_effect": "0.2"}, 422, "minimum_effect"),
    ({"model_a_id": 10**30}, 422, "such as v3"),
    ({"model_a_id": True}, 422, "model_a_id"),
]


async def test_what_cannot_be_judged_is_refused_and_nothing_changed(client: httpx.AsyncClient, store: Store) -> None:
    two_versions(store)
    conclude(store, claimed(store, "three"), promoted=False)
    events = store.events.page()
    for wrong, status, says in WRONG:
        answer = await client.post(URL, json={**BODY, **wrong})
        assert (answer.status_code, says in answer.json()["error"]["message"]) == (status, True), (wrong, answer.text)
    for body in (b"", b"[]", b'{"experiment_name": NaN}', b'{"a": ', b'{"experiment_name": "\\ud800"}'):
        assert (await client.post(URL, content=body)).status_code in (400, 422), body
    assert store.experiments.page().total == 0
    assert store.events.page() == events


async def test_a_second_one_over_the_same_traffic_is_refused(
    client: httpx.AsyncClient, made: dict[str, Any], store: Store
) -> None:
    answer = await client.post(URL, json={**BODY, "experiment_name": "second"})
    assert answer.status_code == 409
    assert "말투-1" in answer.json()["error"]["message"]
    assert store.experiments.page().total == 1
    assert (await client.post(URL, json={**BODY, "status": "draft"})).status_code == 201


async def test_arms_may_be_more_than_two_and_the_base(client: httpx.AsyncClient, store: Store) -> None:
    two_versions(store)
    three = (("now", 2, 0.4), ("old", "v1", 0.3), ("none", "base", 0.3))
    arms = [{"name": name, "model": model, "weight": weight} for name, model, weight in three]
    body = {key: BODY[key] for key in ("experiment_name", "target_samples")}
    made = (await client.post(URL, json={**body, "arms": arms})).json()
    assert [arm["model"] for arm in made["arms"]] == ["v2", "v1", "base"]
    assert made["success_metric"] == "rating"


async def test_a_version_whose_files_are_gone_is_refused(client: httpx.AsyncClient, store: Store) -> None:
    for id in ("one", "two", "three"):
        conclude(store, claimed(store, id))  # the engine's folder has v1 and v2 alone
    answer = await client.post(URL, json={**BODY, "model_b_id": 3})
    assert (answer.status_code, "on disk" in answer.json()["error"]["message"]) == (409, True)


@pytest.mark.parametrize("changes", [upstream(lesson)])
async def test_the_teacher_is_an_arm_only_where_messages_may_leave(
    client: httpx.AsyncClient, store: Store, changes: dict[str, Any]
) -> None:
    two_versions(store)
    answer = await client.post(URL, json={**BODY, "model_b_id": "teacher"})
    assert (answer.status_code, "another machine" in answer.json()["error"]["message"]) == (409, True)
    await client.post("/mlops/settings", json={"answer_with": "auto"})
    assert (await client.post(URL, json={**BODY, "model_b_id": "teacher"})).status_code == 201


@pytest.mark.parametrize("changes", [{"engine_adapters": 1}])
async def test_more_versions_than_the_engine_holds_are_refused(client: httpx.AsyncClient, store: Store) -> None:
    two_versions(store)
    answer = await client.post(URL, json=BODY)
    assert answer.status_code == 409
    assert "ENGINE_ADAPTERS" in answer.json()["error"]["message"]


async def test_a_ramp_is_allowed_and_other_shares_are_not(client: httpx.AsyncClient, made: dict[str, Any]) -> None:
    url = f"{URL}/{made['id']}"
    assert (await client.patch(url, json={"coverage": 1.0, "description": "어조"})).json()["description"] == "어조"
    assert (await client.patch(url, json={"coverage": 0.5})).status_code == 409
    assert (await client.patch(url, json={"traffic_split": {"a": 0.5, "b": 0.5}})).status_code == 409
    assert (await client.patch(url, json={"winner": "b"})).status_code == 422
    assert (await client.patch(url, json={})).status_code == 422


async def test_a_user_gets_one_variant_however_often_they_ask(client: httpx.AsyncClient, made: dict[str, Any]) -> None:
    url = f"{URL}/{made['id']}/assign-variant"
    seen = [(await client.post(url, params={"user_id": "홍길동", "session_id": str(n)})).json() for n in range(5)]
    assert seen[0]["variant"] in ("a", "b")
    assert seen == [seen[0]] * 5
    variants = [(await client.post(url, params={"user_id": str(n)})).json()["variant"] for n in range(60)]
    assert set(variants) == {"a", "b"}
    assert (await client.post(url)).status_code == 422
    assert (await client.post(f"{URL}/99/assign-variant", params={"user_id": "x"})).status_code == 404


async def test_a_log_counts_for_its_variant(client: httpx.AsyncClient, made: dict[str, Any]) -> None:
    url = f"{URL}/{made['id']}"
    variant = (await client.post(f"{url}/assign-variant", params={"user_id": "kim"})).json()["variant"]
    told = {**LOG, "variant": variant, "user_rating": 5, "user_feedback": "좋아요"}
    answer = await client.post(f"{url}/logs", json=told)
    assert answer.status_code == 201, answer.text
    logs = (await client.get(f"{url}/logs")).json()
    assert logs["items"] == [answer.json()]
    assert {key: logs["items"][0][key] for key in LOG} == LOG
    shown = {arm["name"]: arm for arm in (await client.get(f"{url}/results")).json()["variants"]}
    assert (shown[variant]["samples"], shown[variant]["avg_rating"]) == (1, 5.0)


async def test_a_log_that_is_none_is_refused(client: httpx.AsyncClient, made: dict[str, Any], store: Store) -> None:
    url = f"{URL}/{made['id']}"
    variant = (await client.post(f"{url}/assign-variant", params={"user_id": "kim"})).json()["variant"]
    for wrong in (
        {"variant": "z"},
        {"user_rating": 0},
        {"user_rating": 6},
        {"user_rating": 4.5},
        {"response_time_ms": -1},
        {"response_time_ms": "fast"},
        {"other": 1},
    ):
        answer = await client.post(f"{url}/logs", json={**LOG, "variant": variant, **wrong})
        assert answer.status_code == 422, (wrong, answer.text)
    other = "b" if variant == "a" else "a"
    assert (await client.post(f"{url}/logs", json={**LOG, "variant": other})).status_code == 409
    assert store.experiments.logs(made["id"]).total == 0


async def test_under_thirty_rated_users_nobody_wins(client: httpx.AsyncClient, made: dict[str, Any]) -> None:
    found = (await client.get(f"{URL}/{made['id']}/results")).json()
    assert (found["outcome"], found["winner"], found["p_value"]) == ("too_few", None, None)
    assert not found["is_significant"]
    assert "Fewer than 30" in found["recommendation"]


async def test_results_monitoring_and_the_page_say_the_same(
    client: httpx.AsyncClient, made: dict[str, Any], store: Store
) -> None:
    experiment = store.experiments.get(made["id"])
    store.experiments.record(
        replies(experiment, "a", 84, rating=2, each=7) + replies(experiment, "b", 40, rating=4, each=7)
    )
    store.experiments.look()
    url = f"{URL}/{made['id']}"
    found = (await client.get(f"{url}/results")).json()
    assert (found["outcome"], found["winner"], found["is_significant"]) == ("ship", "b", True)
    interval = found["variants"][1]["confidence_interval"]
    assert interval["lower"] < interval["mean"] < interval["upper"]
    assert interval["mean"] == pytest.approx(4.0, abs=0.1)
    watched = (await client.get(f"{url}/monitoring")).json()
    assert watched["samples"] == {"a": 84, "b": 40}
    assert watched["split"]["ok"]
    assert {harm["metric"] for harm in watched["guardrails"]} == {"rating", "latency", "errors", "empty"}
    page = await client.get(f"{url}/results", headers={"accept": "text/html,*/*"})
    assert page.headers["content-type"].startswith("text/html")
    assert "<svg" in page.text
    assert "ship b" in page.text
    assert "<script" not in page.text
    assert (await client.get(f"{url}/results.html")).text == page.text


async def test_words_of_people_are_no_markup_on_the_page(client: httpx.AsyncClient, made: dict[str, Any]) -> None:
    url = f"{URL}/{made['id']}"
    await client.patch(url, json={"description": "<img src=x onerror=alert(1)>"})
    page = (await client.get(f"{url}/results.html")).text
    assert "<img" not in page
    assert "&lt;img" in page


async def test_stopping_ends_it_once(client: httpx.AsyncClient, made: dict[str, Any]) -> None:
    url = f"{URL}/{made['id']}"
    assert (await client.post(f"{url}/stop", json={})).status_code == 422
    stopped = (await client.post(f"{url}/stop", json={"reason": "enough"})).json()
    assert (stopped["status"], stopped["reason"]) == ("stopped", "enough")
    assert (await client.post(f"{url}/stop", json={"reason": "again"})).status_code == 409
    assert (await client.post(f"{url}/assign-variant", params={"user_id": "x"})).status_code == 409
    assert (await client.patch(url, json={"coverage": 1.0})).status_code == 409


async def test_concluding_keeps_the_results_and_may_move_the_champion(
    client: httpx.AsyncClient, made: dict[str, Any], store: Store
) -> None:
    url = f"{URL}/{made['id']}"
    assert (await client.post(f"{url}/conclude", json={"winner": "z"})).status_code == 422
    done = (await client.post(f"{url}/conclude", json={"winner": "a", "reason": "짧다"})).json()
    assert (done["status"], done["winner"], done["message"]) == ("completed", "a", "v1 is champion")
    assert [variant["name"] for variant in done["results"]["variants"]] == ["a", "b"]
    assert store.champion.get().n == 1
    assert (await client.post(f"{url}/conclude", json={"winner": "b"})).status_code == 409


async def test_a_winner_whose_files_are_gone_does_not_become_champion(
    client: httpx.AsyncClient, made: dict[str, Any], store: Store, follower: FakeFollower
) -> None:
    url = f"{URL}/{made['id']}"
    await client.post(f"{url}/stop", json={"reason": "for now"})
    follower.versions = ["v2"]  # as it is once newer versions came and no experiment runs that needs it
    done = (await client.post(f"{url}/conclude", json={"winner": "a", "reason": "shorter"})).json()
    assert (done["status"], "v2 stays champion" in done["message"]) == ("completed", True)
    assert store.champion.get().n == 2


@pytest.mark.parametrize("changes", [upstream(lesson)])
async def test_a_draft_is_started_only_where_each_arm_can_answer(
    client: httpx.AsyncClient, store: Store, changes: dict[str, Any]
) -> None:
    two_versions(store)
    await client.post("/mlops/settings", json={"answer_with": "auto"})
    draft = (await client.post(URL, json={**BODY, "model_b_id": "teacher", "status": "draft"})).json()
    await client.post("/mlops/settings", json={"answer_with": "student"})
    refused = await client.patch(f"{URL}/{draft['id']}", json={"status": "running"})
    assert (refused.status_code, "another machine" in refused.json()["error"]["message"]) == (409, True)
    assert (await client.get(f"{URL}/{draft['id']}")).json()["status"] == "draft"
    await client.post("/mlops/settings", json={"answer_with": "auto"})
    assert (await client.patch(f"{URL}/{draft['id']}", json={"status": "running"})).json()["status"] == "running"


async def test_a_draft_has_results_and_a_page_of_nobody(client: httpx.AsyncClient, store: Store) -> None:
    two_versions(store)
    made = (await client.post(URL, json={**BODY, "status": "draft"})).json()
    found = (await client.get(f"{URL}/{made['id']}/results")).json()
    assert (found["outcome"], found["split"]["p_value"], found["comparisons"]) == ("too_few", 1.0, [])
    assert (await client.get(f"{URL}/{made['id']}/results.html")).status_code == 200
    assert (await client.get(f"{URL}/{made['id']}/monitoring")).json()["progress"] == 0.0


async def test_unknown_experiments_are_not_found(client: httpx.AsyncClient) -> None:
    for path in ("/9", "/9/results", "/9/logs", "/9/monitoring", "/9223372036854775808"):
        assert (await client.get(URL + path)).status_code == 404
    assert (await client.post(f"{URL}/9/stop", json={"reason": "x"})).status_code == 404
