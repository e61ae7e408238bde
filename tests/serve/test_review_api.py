"""The review queue over HTTP."""

from typing import Any

import httpx
import pytest

from resources.store import Store
from tests.resources.examples import claimed, conclude
from tests.resources.test_reviews import hold, reject, rejected

pytestmark = pytest.mark.anyio

PATH = "/api/v1/admin/review"


async def test_what_was_held_back_is_shown_with_what_a_person_can_do(client: httpx.AsyncClient, store: Store) -> None:
    rejected(store, "a")
    hold(store, "b")
    page = (await client.get(PATH)).json()

    assert (page["page"], page["page_size"], page["total"]) == (1, 50, 2)
    held, judged = page["items"]
    assert (held["conversation_id"], held["reason"], held["held_back_by"]) == ("b", "personal_data", None)
    assert (judged["conversation_id"], judged["status"], judged["held_back_by"]) == ("a", "waiting", 1)
    assert judged["findings"] == [
        {
            "rule": "cap_refusal",
            "severity": "error",
            "where": "reply",
            "message": "Too many replies refuse",
            "can_be_overruled": True,
        }
    ]
    assert judged["messages"] == [{"role": "user", "content": "What is a?"}]
    assert (judged["correction"], judged["released_id"], judged["decided_at"]) == (None, None, None)
    assert (await client.get(f"{PATH}/a")).json() == judged


async def test_a_conversation_is_corrected_and_released(client: httpx.AsyncClient, store: Store) -> None:
    rejected(store, "with/slash")
    messages = [{"role": "user", "content": "Why?"}]
    kept = await client.patch(f"{PATH}/with/slash", json={"messages": messages, "reply": "Because."})
    assert (kept.status_code, kept.json()["correction"]) == (200, {"messages": messages, "reply": "Because."})
    released = (await client.post(f"{PATH}/with/slash/release", json={"reason": "clearer", "by": "ann"})).json()

    assert (released["status"], released["released_id"]) == ("released", "with/slash.corrected")
    assert released["overruled"] == []
    assert (released["decided_by"], released["decision_reason"], released["reason"]) == ("ann", "clearer", "superseded")
    assert released["decided_at"].endswith("Z")
    assert (await client.get(PATH)).json()["total"] == 0
    assert (await client.get(PATH, params={"status": "released"})).json()["total"] == 1


async def test_a_conversation_is_dismissed(client: httpx.AsyncClient, store: Store) -> None:
    rejected(store, "a")
    dismissed = (await client.post(f"{PATH}/a/dismiss", json={})).json()

    assert (dismissed["status"], dismissed["decided_by"]) == ("dismissed", "admin")
    assert (await client.get(PATH, params={"status": "dismissed", "rule": "cap_refusal"})).json()["total"] == 1


NUMBER = {"reply": "It is 900101-1234567."}
BAD: dict[str, tuple[str, str, Any, int, str]] = {
    "nobody": ("GET", "/nobody", None, 404, "not_found"),
    "release of nobody": ("POST", "/nobody/release", {"reason": "x"}, 404, "not_found"),
    "release of a fine one": ("POST", "/accepted/release", {"reason": "x"}, 409, "not_allowed"),
    "release without a reason": ("POST", "/a/release", {}, 422, "invalid_value"),
    "release of a hard rule": ("POST", "/hard/release", {"reason": "x"}, 422, "both_sides"),
    "correction of nothing": ("PATCH", "/a", {}, 422, "invalid_value"),
    "correction with an unknown role": (
        "PATCH",
        "/a",
        {"messages": [{"role": "pirate", "content": "Arr"}]},
        422,
        "invalid_value",
    ),
    "correction with a number": ("PATCH", "/a", NUMBER, 422, "personal_data"),
    "a NUL in the id": ("GET", "/a%00b", None, 422, "invalid_value"),
    "an unknown status": ("GET", "?status=open", None, 422, "invalid_value"),
    "an odd rule": ("GET", "?rule=%25", None, 422, "invalid_value"),
    "page 0": ("GET", "?page=0", None, 422, "invalid_value"),
}


async def test_bad_input_is_refused(client: httpx.AsyncClient, store: Store) -> None:
    rejected(store, "a")
    claim = claimed(store, "hard")
    reject(store, "hard", "both_sides")
    conclude(store, claim)
    for name, (method, path, body, status, code) in BAD.items():
        answer = await client.request(method, PATH + path, json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), f"{name}: {answer.text}"
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}, name
        assert "900101" not in answer.text, name
    assert store.reviews.page().total == 2


async def test_a_rule_that_does_not_exist_is_refused_with_those_that_do(client: httpx.AsyncClient) -> None:
    refused = await client.get(PATH, params={"rule": "nonsense"})
    assert refused.status_code == 422
    assert "language_mismatch" in refused.json()["error"]["message"]
