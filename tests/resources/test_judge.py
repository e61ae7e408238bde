import json
from collections.abc import Callable

import httpx
import pytest

from core.judging import Comparison
from resources.judge import TRIES, Judge

PAIRS = [Comparison(f"p{at}", f"Question {at}?", "good answer", "poor answer") for at in range(6)]
Handler = Callable[[httpx.Request], httpx.Response]


def judge(handler: Handler) -> Judge:
    transport = httpx.MockTransport(handler)
    return Judge("http://judge/v1", "sk-secret", "big", transport=transport, pause=lambda seconds: None)


def completion(text: str) -> httpx.Response:
    return httpx.Response(200, json={"choices": [{"message": {"role": "assistant", "content": text}}]})


def honest(request: httpx.Request) -> httpx.Response:
    text = json.loads(request.content)["messages"][-1]["content"]
    return completion("A" if text.index("good") < text.index("poor") else "B")


def test_both_orders_of_every_pair_are_asked_with_key_and_model() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return honest(request)

    found = judge(handler)(PAIRS)
    assert [one.probe for one in found] == [pair.probe for pair in PAIRS]
    assert {one.score for one in found} == {1.0}
    assert len(seen) == 2 * len(PAIRS)
    assert {request.headers["authorization"] for request in seen} == {"Bearer sk-secret"}
    assert {json.loads(request.content)["model"] for request in seen} == {"big"}
    assert {str(request.url) for request in seen} == {"http://judge/v1/chat/completions"}


def test_a_busy_judge_is_asked_again() -> None:
    asked: list[int] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(1)
        return httpx.Response(429) if len(asked) < TRIES else honest(request)

    assert judge(handler)(PAIRS[:1])[0].score == 1.0


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(401, json={"error": "sk-secret is wrong"}),
        httpx.Response(503),
        httpx.Response(302, headers={"location": "http://elsewhere"}),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json={"choices": []}),
        completion("I would rather not say which"),
    ],
)
def test_a_judge_without_an_opinion_gives_none_and_its_key_is_not_logged(
    answer: httpx.Response, caplog: pytest.LogCaptureFixture
) -> None:
    assert judge(lambda request: answer)(PAIRS) == []
    assert "no opinion" in caplog.text
    assert "sk-secret" not in caplog.text
    assert "answer 0" not in caplog.text


def test_a_judge_that_is_away_gives_no_opinion(caplog: pytest.LogCaptureFixture) -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route to sk-secret")

    assert judge(away)(PAIRS) == []
    assert "sk-secret" not in caplog.text
