"""The figures of the ingress bench: the mock's own time is taken off both sides, and a broken promise is counted."""

import json

from bench.http_load import Seen
from bench.ingress import DIRECT, LITELLM, OURS, Side, figures
from bench.ingress_bodies import Bodies
from bench.mock_engine import REPLY, chunks, whole

# seconds of writes to a disk, a list a round
SYNCS = [[0.001, 0.002, 0.004], [0.002, 0.003, 0.005]]


def side(seconds: float, rate: float, answered: int = 100, failures: int = 0) -> Side:
    made = Side(0, list, rates=[rate], a_core=[rate], answered=answered, failures=["x"] * failures)
    made.steady = [Seen(seconds=[seconds] * 10)]
    return made


def test_added_latency_is_the_way_there_less_the_mock() -> None:
    sides = {DIRECT: side(0.001, 20_000), LITELLM: side(0.013, 100), OURS: side(0.003, 600)}
    found = {figure.name: figure for figure in figures(sides, stored=100, syncs=SYNCS)}

    p99 = found["added latency p99"]
    assert (round(p99.ours or 0, 3), round(p99.other or 0, 3), p99.holds) == (2.0, 12.0, True)
    assert (found["requests a second of a core"].ratio, found["requests a second of a core"].holds) == (6.0, True)
    assert found["the clients alone, at the mock"].holds
    assert found["told collected and not in the store"].ours == 0
    assert found["of it a write to this disk p50"].ours == 2.5, "the median of the rounds'"


def test_a_conversation_that_is_not_on_disk_and_a_failed_request_fall_short() -> None:
    sides = {DIRECT: side(0.001, 20_000), LITELLM: side(0.013, 100), OURS: side(0.003, 600, failures=1)}
    short = {figure.name for figure in figures(sides, stored=99, syncs=SYNCS) if not figure.holds}

    assert short == {"requests failed", "told collected and not in the store"}


def test_clients_that_limit_the_measurement_fall_short() -> None:
    sides = {DIRECT: side(0.001, 1_000), LITELLM: side(0.013, 100), OURS: side(0.003, 600)}
    assert {figure.name for figure in figures(sides, 100, SYNCS) if not figure.holds} == {
        "the clients alone, at the mock"
    }


def test_no_two_questions_are_the_same() -> None:
    bodies = Bodies()
    assert len(set(bodies.take(50, 1) + bodies.take(50, 1))) == 100


def test_the_mock_says_the_same_streamed_and_whole() -> None:
    lines = "".join(chunks("v1")).split("\n\n")
    said = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in said) == REPLY
    assert whole("v1")["choices"][0]["message"]["content"] == REPLY
    assert chunks("v1")[-1].endswith("data: [DONE]\n\n")
