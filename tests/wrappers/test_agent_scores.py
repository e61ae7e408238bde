"""What the agent's replies to a golden set are scored by."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.conversation import Conversation, Message
from tests.wrappers.agent_doubles import FakeModel
from wrappers.agent import LangGraphWrapper
from wrappers.agent_scores import Answer, scores

CABLE, KOREAN = "Check the cable of the printer first.", "프린터 케이블을 먼저 확인해 주세요."


def golden(id: str, asked: str, reply: str) -> Conversation:
    return Conversation(
        id=id,
        messages=(Message(role="user", content=asked),),
        reply=reply,
        source="golden",
        provenance="human",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_what_is_said_word_for_word_has_the_highest_scores_and_another_reply_lower_ones() -> None:
    same = [Answer(text, text, text, 1.0) for text in (CABLE, KOREAN)]
    other = [Answer("Please call our hotline about this matter.", CABLE, CABLE, 3.0), same[1]]
    best, worse = scores(same), scores(other)

    assert [best[name] for name in ("chrf", "bleu_en", "bleu_ko")] == pytest.approx([100, 100, 100])
    assert worse["bleu_ko"] == pytest.approx(100)
    assert worse["chrf_en"] < 30
    assert worse["chrf"] < best["chrf"]
    assert (best["in_language"], worse["seconds"]) == (1.0, 2.0)


def test_korean_is_scored_in_morphemes_so_that_another_particle_is_no_other_word() -> None:
    from sacrebleu.metrics import BLEU

    reply, reference = "프린터의 케이블은 먼저 확인하여 주세요", "프린터 케이블을 먼저 확인해 주세요"
    found = scores([Answer(reply, reference, reference, 1.0)])["bleu_ko"]

    assert found == BLEU(tokenize="ko-mecab").corpus_score([reply], [[reference]]).score
    assert found > BLEU(tokenize="13a").corpus_score([reply], [[reference]]).score


def test_a_reply_in_the_wrong_language_and_one_that_never_came_count_against_it() -> None:
    answers = [Answer(CABLE, KOREAN, KOREAN, 1.0), Answer("", KOREAN, KOREAN, 9.0, failed=True)]
    found = scores(answers)

    assert (found["in_language"], found["failed"], found["seconds"]) == (0.0, 0.5, 1.0)
    assert "bleu_en" not in found


@pytest.fixture
def mlflow_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    from resources import mlflow_store

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    mlflow_store.create(uri)
    client = mlflow_store.client(uri)
    client.create_experiment("agents", artifact_location=(tmp_path / "artifacts").as_uri())
    return client


@pytest.mark.slow
def test_the_scores_are_in_mlflow_with_the_agents_hash_and_without_any_text(mlflow_at: Any) -> None:
    agent = LangGraphWrapper(FakeModel(CABLE, ConnectionError("away")))
    set_of = [golden("a", "My printer is dead.", CABLE), golden("b", "프린터가 고장입니다.", KOREAN)]
    found = agent.evaluate(set_of, {"experiment": "agents", "run_name": "golden", "model": "v3"})

    (run,) = mlflow_at.search_runs([mlflow_at.get_experiment_by_name("agents").experiment_id])
    assert run.data.metrics == pytest.approx(found)
    assert run.data.metrics["failed"] == 0.5
    assert run.data.params["agent_sha256"] == agent.files.digest
    assert run.data.params["model"] == "v3"
    assert CABLE not in str(run.to_dictionary())
    with pytest.raises(ValueError, match="at least one"):
        agent.evaluate([], {})
    with pytest.raises(ValueError, match="is the model up"):
        agent.evaluate(set_of, {"experiment": "agents"})
