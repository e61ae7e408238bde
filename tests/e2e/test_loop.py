"""The real stack: two versions by the sensor alone, a killed trainer, bad adapters, a dead control plane.

The tests share one stack and run in the order in which they stand; the last ones break it on purpose.
"""

import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest

from deploy.background import BackgroundChat, Seen
from deploy.client import Client
from deploy.corpus import distinct, load, rows
from deploy.services import pages
from deploy.stack import Stack
from tests.e2e.checker import check
from tests.e2e.conftest import eventually, trainer_of

pytestmark = [pytest.mark.engine, pytest.mark.daemon, pytest.mark.slow]

FIRST, SECOND = 220, 30
FINISHED = ("promoted", "rejected", "failed", "abandoned")


@dataclass(frozen=True)
class Played:
    """What two turns of the loop left to be looked at."""

    first: dict[str, Any]
    second: dict[str, Any]
    sent_during_v1: tuple[str, ...]
    killed_at_step: int
    seen: Seen


@pytest.fixture(scope="module")
def played(stack: Stack, client: Client) -> Played:
    """Two batches; during v1's run thirty more conversations are sent and its trainer is killed once."""
    conversations = iter(rows(distinct(load())))
    with BackgroundChat(pages(stack.settings)["Whetstone"]) as chat:
        answer = client.import_conversations(islice(conversations, FIRST), key="first")
        assert answer["accepted"] == FIRST, answer
        trainer = eventually(lambda: trainer_of(stack, 1), "the trainer of v1", 120)
        client.settings(finetune_batch_size=SECOND)
        sent = tuple(_send(client, row) for row in islice(conversations, SECOND))
        killed_at = _kill_after_a_checkpoint(stack, trainer)
        first = eventually(lambda: _finished(client, 1), "v1 to be finished", 420)
        chat_saw = chat.wait_for("v1", 60)
        assert first["state"] == "promoted", first
        assert chat_saw is not None
        second = eventually(lambda: _finished(client, 2), "v2 to be finished", 420)
    return Played(first, second, sent, killed_at, chat.seen)


def test_two_batches_give_two_versions_by_the_sensor_alone(played: Played, client: Client) -> None:
    assert {version["version"] for version in client.history()} == {1, 2}
    assert played.first["state"] == "promoted"
    assert played.second["state"] in ("promoted", "rejected")
    assert {event["type"] for event in client.events()}.isdisjoint({"trigger", "trigger_added"})


def test_thirty_conversations_sent_during_v1_are_all_in_v2(played: Played, stack: Stack) -> None:
    claimed = _column(stack, "SELECT id FROM conversations WHERE version = 2")
    assert set(claimed) == set(played.sent_during_v1)


def test_the_killed_trainer_went_on_from_its_checkpoint(played: Played, stack: Stack) -> None:
    assert played.first["attempts"] == 2
    log = (stack.settings.state_dir / "logs" / "trainer-v1.log").read_text(encoding="utf-8")
    resumed = [int(step) for step in re.findall(r"Going on after step (\d+) of", log)]
    assert len(resumed) == 1, log[-2000:]
    assert played.killed_at_step >= resumed[0] > 0


def test_no_chat_failed_while_versions_were_trained_killed_and_swapped(played: Played) -> None:
    assert played.seen.failures == []
    assert played.seen.by_model["base"] > 0
    assert played.seen.by_model["v1"] > 0


def test_an_independent_checker_finds_every_eligible_conversation_in_exactly_one_version(
    played: Played, stack: Stack
) -> None:
    found = check(stack.settings.state_dir)
    assert found.faults == []
    assert found.counts["claimed"] == found.counts["eligible"] == FIRST + SECOND
    assert found.counts["adapters"] == 2


def test_the_checker_sees_a_conversation_that_was_lost_and_a_folder_that_was_changed(
    played: Played, stack: Stack, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    for name in ("whetstone.db", "whetstone.db-wal"):
        if (stack.settings.state_dir / name).exists():
            state.mkdir(exist_ok=True)
            shutil.copy(stack.settings.state_dir / name, state / name)
    for kind in ("datasets", "adapters"):
        shutil.copytree(stack.settings.state_dir / kind, state / kind)
    with closing(sqlite3.connect(state / "whetstone.db")) as store, store:
        store.execute("UPDATE conversations SET version = NULL WHERE id = ?", (played.sent_during_v1[0],))
    _flip_last_byte(state / "adapters" / "v1" / "adapter_model.safetensors")
    faults = "\n".join(check(state).faults)
    assert f"{played.sent_during_v1[0]} is eligible and in no version" in faults
    assert "adapter_model.safetensors is not what its manifest says" in faults


def test_registry_aliases_follow_the_champion(played: Played, stack: Stack) -> None:
    from mlflow import MlflowClient

    registry = MlflowClient(stack.settings.mlflow_tracking_uri)
    name = stack.settings.mlflow_model_name

    def production() -> str | None:
        return registry.get_model_version_by_alias(name, "production").tags.get("whetstone.version")

    champion = "2" if played.second["state"] == "promoted" else "1"
    eventually(lambda: production() in (champion, f"v{champion}"), "the alias production", 60)
    assert len(registry.search_model_versions(f"name = '{name}'")) == 2


@pytest.fixture
def openai_client(stack: Stack) -> Iterator[openai.OpenAI]:
    url = pages(stack.settings)["Whetstone"] + "/v1"
    with openai.OpenAI(base_url=url, api_key="unused", http_client=httpx.Client(trust_env=False)) as found:
        yield found


def test_the_unmodified_openai_client_works(played: Played, openai_client: openai.OpenAI) -> None:
    reply = openai_client.chat.completions.create(
        model="production", messages=[{"role": "user", "content": "My screen is black."}], max_tokens=12
    )
    assert reply.choices[0].message.content
    assert reply.usage
    assert reply.usage.completion_tokens <= 12
    assert {"production", "base", "v1"} <= {model.id for model in openai_client.models.list()}


def test_the_unmodified_openai_client_streams_what_it_gets_in_one_piece(
    played: Played, openai_client: openai.OpenAI
) -> None:
    def ask(stream: bool) -> Any:
        return openai_client.chat.completions.create(
            model="v1",
            messages=[{"role": "user", "content": "My screen is black."}],
            max_tokens=12,
            temperature=0,
            stream=stream,
        )

    parts = [chunk.choices[0].delta.content or "" for chunk in ask(True) if chunk.choices]
    assert len(parts) > 2
    assert "".join(parts) == ask(False).choices[0].message.content


def test_the_openai_client_gets_its_own_error_for_an_unknown_model(
    played: Played, openai_client: openai.OpenAI
) -> None:
    with pytest.raises(openai.NotFoundError, match="v77"):
        openai_client.chat.completions.create(model="v77", messages=[{"role": "user", "content": "Hi"}])


@pytest.mark.parametrize("fault", ["other_base", "wrong_hash", "half_written"])
def test_a_bad_adapter_is_refused_while_the_old_version_serves(
    played: Played, stack: Stack, client: Client, fault: str
) -> None:
    champion = client.ask("Hello", max_tokens=2).model
    bad = {"other_base": 90, "wrong_hash": 91, "half_written": 92}[fault]
    _publish_bad(stack.settings.state_dir, bad, fault)
    _make_champion(stack, bad)
    try:
        event = eventually(lambda: _swap_failed(client, bad), f"the event that v{bad} is refused", 30)
        answers = [client.ask("Hello", max_tokens=2).model for _ in range(5)]
        refused = httpx.post(
            pages(stack.settings)["Whetstone"] + "/v1/chat/completions",
            json={"model": f"v{bad}", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2},
            trust_env=False,
            timeout=60,
        )
    finally:
        _make_champion(stack, int(champion.removeprefix("v")))
    assert set(answers) == {champion}
    assert event["data"]["reason"]
    assert refused.status_code >= 400
    assert refused.json()["error"]["message"]


def test_with_dagster_and_mlflow_gone_and_the_ingress_restarted_fifty_chats_are_answered_and_captured(
    played: Played, stack: Stack, client: Client
) -> None:
    champion = client.ask("Hello", max_tokens=2).model
    stack.end_service("dagster")
    stack.end_service("mlflow")
    registry = stack.settings.state_dir / "mlflow.db"
    for path in registry.parent.glob("mlflow.db*"):
        path.rename(path.with_name(f"away-{path.name}"))
    stack.end_service("ingress")
    stack.start_service("ingress")
    before = set(_column(stack, "SELECT id FROM conversations"))
    ids = [_collected(stack, champion, f"Question {n}?") for n in range(50)]
    assert len(set(ids)) == 50
    assert before.isdisjoint(ids)
    assert set(ids) <= set(_column(stack, "SELECT id FROM conversations"))
    assert not registry.exists()


def _swap_failed(client: Client, n: int) -> dict[str, Any] | None:
    return next((e for e in client.events() if e["type"] == "swap_failed" and e["version"] == n), None)


def _collected(stack: Stack, champion: str, question: str) -> str:
    """The id of a chat that the champion answered and the store took."""
    reply = httpx.post(
        pages(stack.settings)["Whetstone"] + "/v1/chat/completions",
        json={"model": "production", "messages": [{"role": "user", "content": question}], "max_tokens": 4},
        trust_env=False,
        timeout=60,
    )
    assert reply.status_code == 200, reply.text
    assert reply.headers["x-whetstone-model"] == champion
    assert reply.headers["x-whetstone-collected"] == "true"
    return reply.headers["x-whetstone-conversation"]


def _send(client: Client, row: dict[str, Any]) -> str:
    answer = client.import_conversations([row], key=f"late-{row['id']}")
    assert answer["accepted"] == 1, answer
    return str(row["id"])


def _finished(client: Client, n: int) -> dict[str, Any] | None:
    version = client.version(n)
    return version if version and version["state"] in FINISHED else None


def _kill_after_a_checkpoint(stack: Stack, trainer: psutil.Process) -> int:
    """SIGKILL once a whole checkpoint is there; the newest step that was there at that moment."""
    folder = stack.settings.state_dir / "checkpoints" / "v1"
    eventually(lambda: list(folder.glob("step-*/manifest.json")), "a checkpoint of v1", 120)
    trainer.kill()
    trainer.wait(10)
    return max(int(path.parent.name.removeprefix("step-")) for path in folder.glob("step-*/manifest.json"))


def _column(stack: Stack, query: str) -> list[str]:
    with closing(sqlite3.connect(stack.settings.state_dir / "whetstone.db", timeout=30)) as store:
        return [row[0] for row in store.execute(query)]


def _publish_bad(state: Path, n: int, fault: str) -> None:
    folder = state / "adapters" / f"v{n}"
    shutil.copytree(state / "adapters" / "v1", folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["version"] = n
    if fault == "other_base":
        manifest["base_fingerprint"] = "0" * len(manifest["base_fingerprint"])
    (folder / "manifest.json").write_text(json.dumps(manifest))
    if fault == "wrong_hash":
        _flip_last_byte(folder / "adapter_model.safetensors")
    if fault == "half_written":
        (folder / "manifest.json").unlink()


def _flip_last_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def _make_champion(stack: Stack, n: int) -> None:
    """Move the row behind everybody's back, with a version that pretends to have passed."""
    with closing(sqlite3.connect(stack.settings.state_dir / "whetstone.db", timeout=30)) as store, store:
        columns = [row[1] for row in store.execute("PRAGMA table_info(versions)") if row[1] != "n"]
        names = ", ".join(columns)
        store.execute(f"INSERT OR IGNORE INTO versions (n, {names}) SELECT ?, {names} FROM versions WHERE n = 1", (n,))  # noqa: S608
        store.execute("UPDATE champions SET n = ?, seq = seq + 1", (n,))
