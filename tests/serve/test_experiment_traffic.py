"""Chats while an experiment runs: the arm answers and says so, its outcome is noted, and a failing arm fails nobody."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from resources.experiments import Experiment
from resources.store import Store, StoreUnavailable
from serve import served_log
from serve.agent import AgentOptions, AgentService
from serve.agent_client import AgentClient
from serve.api import IngressDeps, build_api
from serve.engine_client import EngineUnavailable
from serve.experiment_follower import Assigned, ExperimentFollower
from serve.metrics import Metrics
from serve.pins import Pins
from serve.served_log import ServedLog
from serve.store_door import StoreDoor
from serve.turn import Draft, Turn
from tests.fakes import FakeEngine, FakeFollower
from tests.resources.experiment_examples import design, two_versions, units
from tests.serve.asgi_call import AsgiCall
from tests.serve.ingress_fixtures import LOCAL
from tests.serve.test_teacher import lesson, upstream

pytestmark = pytest.mark.anyio


@pytest.fixture
async def experiment(store: Store) -> Experiment:
    two_versions(store)
    return store.experiments.add(design())


@pytest.fixture
async def api(deps: IngressDeps, store: Store, experiment: Experiment, tmp_path: Path) -> AsyncIterator[FastAPI]:
    follower = ExperimentFollower(store, deps.engine, Pins(), state_dir=tmp_path, lineage="fake")
    await follower.follow_once()
    built = build_api(replace(deps, experiments=follower))
    async with built.router.lifespan_context(built):
        yield built


@pytest.fixture
async def client(api: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url=LOCAL) as opened:
        yield opened


def user_of(experiment: Experiment, arm: str, number: int = 0) -> str:
    return units(experiment, arm, number + 1)[number].removeprefix("user:")


async def ask(client: httpx.AsyncClient, user: str, **more: Any) -> httpx.Response:
    body = {"model": "production", "messages": [{"role": "user", "content": "Hello"}], "user": user, **more}
    return await client.post("/v1/chat/completions", json=body)


async def noted(client: httpx.AsyncClient, experiment: Experiment, count: int) -> list[dict[str, Any]]:
    """What stands in the store once that many replies are noted."""
    import asyncio

    async with asyncio.timeout(5):
        while True:
            page = (await client.get(f"/api/v1/admin/ab-tests/{experiment.id}/logs")).json()
            if page["total"] >= count:
                return list(page["items"])
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_arm_answers_and_the_header_says_so(
    client: httpx.AsyncClient, experiment: Experiment, stream: bool
) -> None:
    for arm, model in (("a", "v1"), ("b", "v2")):
        answer = await ask(client, user_of(experiment, arm), stream=stream)
        assert (answer.status_code, answer.headers["x-whetstone-model"]) == (200, model)
    logs = await noted(client, experiment, 2)
    assert {log["variant"] for log in logs} == {"a", "b"}
    assert all(log["response_time_ms"] >= 0 and not log["failed"] and log["query"] is None for log in logs)


async def test_who_leaves_before_a_whole_reply_is_noted_as_unanswered(
    api: FastAPI, client: httpx.AsyncClient, experiment: Experiment, engine: FakeEngine
) -> None:
    engine.pause_after = 0
    body = {"messages": [{"role": "user", "content": "Hello"}], "user": user_of(experiment, "a")}
    call = AsgiCall.json(api, "/v1/chat/completions", body)
    await engine.paused.wait()
    call.task.cancel()  # what Serve does when the client disconnects
    (log,) = await noted(client, experiment, 1)
    assert (log["variant"], log["failed"], log["response_time_ms"]) == ("a", False, None)


async def test_a_name_bypasses_it(client: httpx.AsyncClient, experiment: Experiment) -> None:
    answer = await ask(client, user_of(experiment, "a"), model="v2")
    assert answer.headers["x-whetstone-model"] == "v2"


async def test_chat_and_assign_variant_agree(client: httpx.AsyncClient, experiment: Experiment) -> None:
    for number in range(20):
        url = f"/api/v1/admin/ab-tests/{experiment.id}/assign-variant"
        variant = (await client.post(url, params={"user_id": f"u{number}"})).json()["variant"]
        answer = await ask(client, f"u{number}")
        assert answer.headers["x-whetstone-model"] == {"a": "v1", "b": "v2"}[variant]


async def test_feedback_reaches_the_arm(client: httpx.AsyncClient, experiment: Experiment, store: Store) -> None:
    answer = await ask(client, user_of(experiment, "b"))
    await noted(client, experiment, 1)
    said = {"completion_id": answer.json()["id"], "rating": 5}
    assert (await client.post("/v1/feedback", json=said)).status_code == 200
    shown = (await client.get(f"/api/v1/admin/ab-tests/{experiment.id}/results")).json()["variants"]
    assert [(arm["rated"], arm["avg_rating"]) for arm in shown] == [(0, None), (1, 5.0)]


async def test_a_failing_arm_fails_nobody_and_is_noted(
    client: httpx.AsyncClient, experiment: Experiment, engine: FakeEngine
) -> None:
    chat = engine.chat

    async def v1_is_broken(body: dict[str, Any]) -> Any:
        if body["model"] == "v1":
            raise RuntimeError("the adapter is gone")
        async for item in chat(body):
            yield item

    engine.chat = v1_is_broken  # type: ignore[method-assign]
    answer = await ask(client, user_of(experiment, "a"))
    assert (answer.status_code, answer.headers["x-whetstone-model"]) == (200, "base")
    (log,) = await noted(client, experiment, 1)
    assert (log["variant"], log["failed"], log["response_time_ms"]) == ("a", True, None)


async def test_an_arm_whose_files_are_gone_fails_nobody(
    client: httpx.AsyncClient, experiment: Experiment, engine: FakeEngine
) -> None:
    chat = engine.chat

    async def v1_is_gone(body: dict[str, Any]) -> Any:
        if body["model"] == "v1":
            yield {"status": 404, "json": {"error": {"message": "no such model"}}}
            return
        async for item in chat(body):
            yield item

    engine.chat = v1_is_gone  # type: ignore[method-assign]
    answer = await ask(client, user_of(experiment, "a"))
    assert (answer.status_code, answer.headers["x-whetstone-model"]) == (200, "base")
    assert (await noted(client, experiment, 1))[0]["failed"]


async def test_what_the_client_did_wrong_is_not_the_arms_fault(
    client: httpx.AsyncClient, experiment: Experiment, engine: FakeEngine
) -> None:
    engine.head = {"status": 400, "json": {"error": {"message": "no"}}}
    assert (await ask(client, user_of(experiment, "a"))).status_code == 400
    engine.head = None
    await ask(client, user_of(experiment, "a"))
    assert [log["failed"] for log in await noted(client, experiment, 1)] == [False]


async def test_of_who_opts_out_nothing_is_noted(client: httpx.AsyncClient, experiment: Experiment) -> None:
    answer = await ask(client, user_of(experiment, "a"), store=False)
    assert answer.headers["x-whetstone-model"] == "v1"
    await ask(client, user_of(experiment, "b"))
    assert [log["variant"] for log in await noted(client, experiment, 1)] == ["b"]


class TeacherArm:
    """Everybody is the teacher's."""

    def assigned(self, turn: Turn) -> Assigned | None:
        return Assigned(1, "user:kim", "b", "teacher")


class MissingArm:
    """Everybody is that of a version that cannot answer."""

    def assigned(self, turn: Turn) -> Assigned | None:
        return Assigned(1, "user:kim", "b", "v9")


async def test_who_stands_in_for_an_arm_says_so(deps: IngressDeps, engine: FakeEngine) -> None:
    chat = engine.chat

    async def v9_is_gone(body: dict[str, Any]) -> Any:
        if body["model"] == "v9":
            yield {"status": 404, "json": {"error": {"message": "no such model"}}}
            return
        async for item in chat(body):
            yield item

    engine.chat = v9_is_gone  # type: ignore[method-assign]
    arm: Any = MissingArm()
    built = build_api(replace(deps, experiments=arm, **upstream(lesson)))
    async with (
        built.router.lifespan_context(built),
        httpx.AsyncClient(transport=httpx.ASGITransport(built), base_url=LOCAL) as client,
    ):
        await client.post("/mlops/settings", json={"answer_with": "teacher"})  # behind whom production stands, too
        said = (await ask(client, "kim")).headers

    assert (said["x-whetstone-model"], said["x-whetstone-tier"]) == ("teacher", "fallback")


@pytest.mark.parametrize(("wish", "model"), [("student", "base"), ("auto", "teacher")])
async def test_no_message_leaves_for_a_teacher_where_only_the_student_may_answer(
    deps: IngressDeps, wish: str, model: str
) -> None:
    arm: Any = TeacherArm()
    built = build_api(replace(deps, experiments=arm, **upstream(lesson)))
    async with (
        built.router.lifespan_context(built),
        httpx.AsyncClient(transport=httpx.ASGITransport(built), base_url=LOCAL) as client,
    ):
        await client.post("/mlops/settings", json={"answer_with": wish})
        assert (await ask(client, "kim")).headers["x-whetstone-model"] == model


class AgentArm:
    """Everybody is the agent's."""

    def assigned(self, turn: Turn) -> Assigned | None:
        return Assigned(1, "user:kim", "b", "agent")


@pytest.fixture
async def agents(deps: IngressDeps, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """An ingress of which every turn of `production` is the agent's arm."""
    service, arm = AgentService(deps.engine, AgentOptions(tmp_path)), AgentArm()
    built = build_api(replace(deps, experiments=arm, agent=AgentClient(service.run)))  # type: ignore[arg-type]
    async with (
        built.router.lifespan_context(built),
        httpx.AsyncClient(transport=httpx.ASGITransport(built), base_url=LOCAL) as client,
    ):
        yield client
    await service.close()


async def test_the_agent_is_an_arm_and_the_header_names_the_version_that_wrote(
    agents: httpx.AsyncClient, engine: FakeEngine, follower: FakeFollower, store: Store
) -> None:
    follower.current = "v2"
    answer = await ask(agents, "kim")

    assert (answer.headers["x-whetstone-model"], answer.headers["x-whetstone-tier"]) == ("v2", "primary")
    assert (engine.asked[0]["messages"][0]["role"], engine.asked[0]["model"]) == ("system", "v2")
    stored = store.conversations.get(answer.headers["x-whetstone-conversation"])
    assert stored is not None
    assert (stored.conversation.source, stored.conversation.model) == ("agent", "v2")


async def test_what_an_agent_cannot_give_is_not_asked_of_its_arm(agents: httpx.AsyncClient, engine: FakeEngine) -> None:
    assert (await ask(agents, "kim", n=2)).status_code == 200
    assert [message["role"] for message in engine.asked[0]["messages"]] == ["user"]


async def test_the_champion_stands_in_for_an_agent_that_fails(agents: httpx.AsyncClient, engine: FakeEngine) -> None:
    chat = engine.chat

    async def no_prompt(body: dict[str, Any]) -> Any:
        if body["messages"][0]["role"] == "system":
            raise EngineUnavailable("for the agent alone")
        async for item in chat(body):
            yield item

    engine.chat = no_prompt  # type: ignore[method-assign]
    answer = await ask(agents, "kim")

    assert (answer.status_code, answer.headers["x-whetstone-tier"]) == (200, "fallback")


ARM = Assigned(1, "user:kim", "a", "v1")


async def test_the_chat_waits_for_no_store_and_what_is_noted_is_bounded(
    store: Store, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served_log, "MOST_WAITING", 3)
    metrics, door = Metrics(), StoreDoor(store)
    log, record = ServedLog(door, metrics), store.experiments.record

    def away(served: object) -> None:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(store.experiments, "record", away)
    for _ in range(5):
        log.note(ARM, Turn((), "openai"), Draft(text="So.", finish="stop"), 0.5)
    await log.flush()
    monkeypatch.setattr(store.experiments, "record", record)
    await log.flush()
    await log.flush()
    assert store.experiments.logs(experiment.id).total == 3
    assert b"whetstone_experiment_replies_unnoted_total 2.0" in metrics.text()
    door.close()
