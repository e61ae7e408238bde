"""A thousand personal values go through the loop: none of them may come out anywhere but in the store."""

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bench.pii_turns import Turn, turns
from core.conversation import Conversation, Message
from core.pii import placeholders
from tests.fakes import FakeTracking
from tests.workshop import NOON, Workshop

pytestmark = pytest.mark.slow  # a thousand conversations through the whole graph

VALUES = 1_000
# shorter ones stand in other numbers by chance
LEAST_CHARACTERS = 8
ANSWERS = {
    "ko": "네, {text} 잘 받았습니다. 접수 번호는 {number}번입니다.",
    "en": "Noted: {text} Your ticket is {number}, thank you.",
}


class KeepingTracking(FakeTracking):
    """Keeps what an MLflow server would be sent."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def log_folder(self, run_id: str, folder: Path, name: str) -> None:
        super().log_folder(run_id, folder, name)
        shutil.copytree(folder, self.folder / run_id / name)


@dataclass(frozen=True)
class Outcome:
    """Everything that came out of a run, by where it was found."""

    texts: dict[str, str]

    def found(self, values: Sequence[str]) -> dict[str, list[str]]:
        """Values by the place where they stand, as they are or as JSON spells them."""
        spellings = {value: {value, json.dumps(value)[1:-1], repr(value)[1:-1]} for value in values}
        return {
            place: hits
            for place, text in self.texts.items()
            if (hits := [value for value, spelt in spellings.items() if any(one in text for one in spelt)])
        }


def planted() -> tuple[list[Turn], list[str]]:
    """Turns with personal data, and its values."""
    chosen, values = [], set[str]()
    for turn in turns(seed=77, count=4 * VALUES):
        if turn.labels and len(values) < VALUES:
            chosen.append(turn)
            values |= {turn.text[label.start : label.end] for label in turn.labels}
    return chosen, sorted(value for value in values if len(value) >= LEAST_CHARACTERS)


def conversation(number: int, turn: Turn, names: Sequence[str]) -> Conversation:
    """Whoever says it, where, and under which id is a personal value as well."""
    user, session, thread, id = (names[(number * step) % len(names)] for step in (1, 3, 5, 7))
    return Conversation(
        id=f"{id}/{number}",
        messages=(Message(role="user", content=turn.text),),
        reply=ANSWERS[turn.language].format(text=turn.text, number=number),
        user_id=user,
        session_id=session if number % 2 else None,
        thread_id=thread if number % 3 else None,
        source="import",
        provenance="human",
        created_at=NOON + timedelta(seconds=number),
    )


def outcome(shop: Workshop, run_id: str, logged: str) -> Outcome:
    state = shop.settings.state_dir
    texts = {str(path.relative_to(state)): read(path) for path in state.rglob("*") if path.is_file()}
    assert isinstance(shop.tracking, KeepingTracking)
    texts |= {f"mlflow/{path.name}": read(path) for path in shop.tracking.folder.rglob("*") if path.is_file()}
    events = [record.event_log_entry.to_json() for record in shop.instance.get_records_for_run(run_id).records]
    return Outcome({**texts, "mlflow run": repr(shop.tracking.runs), "events": "\n".join(events), "log": logged})


def read(path: Path) -> str:
    """What is in a file, decompressed."""
    if path.suffix == ".parquet":
        return json.dumps(pq.read_table(path).to_pylist(), ensure_ascii=False, default=str)
    return path.read_bytes().decode("utf-8", "replace")


def test_a_thousand_personal_values_come_out_nowhere(
    shop: Workshop, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    shop.tracking = KeepingTracking(tmp_path / "mlflow")
    chosen, values = planted()
    names = [value for value in values if len(value) <= 200][::5]
    shop.store.conversations.capture([conversation(number, turn, names) for number, turn in enumerate(chosen)])
    result = shop.run()
    assert result.success
    shown = capfd.readouterr()
    came_out = outcome(shop, result.run_id, caplog.text + shown.out + shown.err)
    assert len(values) > 0.9 * VALUES
    assert {
        "datasets/v1/train.parquet",
        "reports/v1/data.html",
        "reports/v1/report.md",
        "events",
    } <= came_out.texts.keys()
    assert any(name.startswith("mlflow/data.html") for name in came_out.texts)
    masked = sum(
        (placeholders(text) for name, text in came_out.texts.items() if "parquet" in name), start=placeholders("")
    )
    assert sum(masked.values()) > 500, "they went through, masked"
    assert len(names) > 0.1 * VALUES
    assert came_out.found(values) == {}


def test_what_looks_for_them_would_find_one() -> None:
    value = "길동@example.com"
    places = {"plain": f"x {value}", "json": json.dumps({"a": value}), "other": "nobody"}
    assert list(Outcome(places).found([value])) == ["plain", "json"]
