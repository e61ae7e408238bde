"""The demo's play and its last page, against a scripted API."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from core.verdict import ArtifactSanity, Check, Evaluation, GateThresholds, PairedLoss, Verdict
from deploy.background import Seen
from deploy.client import Answer
from deploy.demo import forget, fresh_settings
from deploy.demo_play import DemoFailed, Play
from deploy.demo_table import Counted, Turn, page
from deploy.stack_record import AlreadyUp, Claim
from deploy.watch import LineView, LiveView, describe
from resources.settings import ROOT, Settings

IDLE = {"state": "idle", "step": None, "total_steps": None}
TRAINING = {"state": "training", "step": 3, "total_steps": 30, "loss": 2.5, "eta_seconds": 41.0, "progress": 0.1}


class ScriptedClient:
    """Answers by the next reading; the last one is repeated."""

    def __init__(self, *readings: tuple[dict[str, Any], dict[str, Any] | None]) -> None:
        self.readings = list(readings)
        self.imported: list[dict[str, Any]] = []

    def import_conversations(self, rows: list[dict[str, Any]], key: str) -> dict[str, Any]:
        self.imported += rows
        return {"accepted": len(rows), "duplicates": 0, "rejected": []}

    def progress(self) -> dict[str, Any]:
        return self.readings[0][0]

    def version(self, n: int) -> dict[str, Any] | None:
        return self.readings.pop(0)[1] if len(self.readings) > 1 else self.readings[0][1]

    def events(self) -> list[dict[str, Any]]:
        return [{"id": 1, "type": "promoted", "version": 1, "timestamp": "2026-01-01T00:00:00+00:00"}]


class ScriptedChat:
    """A background chat that saw what it was told to have seen."""

    def __init__(self, **first: float) -> None:
        self.seen, self.pause = Seen(first=dict(first)), 1.0

    def wait_for(self, model: str, timeout: float) -> float | None:
        return self.seen.first.get(model)


def _version(state: str, **more: Any) -> dict[str, Any]:
    return {"version": 1, "state": state, "reasons": [], "counts": {}, "attempts": 1, "error": None, **more}


def _play(client: ScriptedClient, chat: ScriptedChat, seconds: float = 10.0) -> tuple[Play, list[str]]:
    said: list[str] = []
    console = Console(file=None, quiet=True)
    return Play(fresh_settings(), client, chat, console, said.append, seconds), said  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_promoted_version_that_answers_ends_the_loop() -> None:
    client = ScriptedClient((IDLE, None), (TRAINING, _version("open")), (IDLE, _version("promoted")))
    play, _ = _play(client, ScriptedChat(v1=5.0))
    play.loop([{"id": "a"}])
    assert client.imported == [{"id": "a"}]
    assert play.timeline.marks["answered"] == 5.0


def test_a_rejected_version_fails_the_demo_with_the_gates_reasons() -> None:
    rejected = _version("rejected", reasons=["not enough evidence: 4 held-out conversations"])
    play, said = _play(ScriptedClient((IDLE, rejected)), ScriptedChat(v1=5.0))
    with pytest.raises(DemoFailed, match="rejected: not enough evidence: 4 held-out"):
        play.loop([])
    assert any(line.endswith(":8000/api/v1/admin/models/1/report") for line in said), "the report says why"


def test_a_promoted_version_that_never_answers_fails_the_demo() -> None:
    play, _ = _play(ScriptedClient((IDLE, _version("promoted"))), ScriptedChat())
    with pytest.raises(DemoFailed, match="did not answer"):
        play.loop([])


@pytest.mark.slow
def test_a_loop_that_does_not_end_says_where_it_stands_and_what_failed_last() -> None:
    stuck = _version("open", error="OUT_OF_MEMORY: the kernel ended the trainer", attempts=2)
    play, said = _play(ScriptedClient((TRAINING, stuck)), ScriptedChat(), seconds=0.1)
    with pytest.raises(DemoFailed, match=r"still training; last error: OUT_OF_MEMORY"):
        play.loop([])
    assert len([line for line in said if "OUT_OF_MEMORY" in line]) == 1


def _row(**fields: Any) -> dict[str, Any]:
    row = {"source": "import", "eligible": True, "reason": None, "version": 1, "side": "train", "findings": []}
    return {**row, **fields}


def test_conversations_are_counted_by_what_became_of_them() -> None:
    rows = [
        _row(),
        _row(side="held_out"),
        _row(side=None, findings=[{"rule": "too_long", "severity": "error"}]),
        _row(version=None, side=None),
        _row(eligible=False, reason="duplicate", version=None, side=None),
        _row(eligible=False, reason="incomplete", version=None, side=None, source="openai"),
    ]
    left_out, screened_out = Counter(duplicate=1, incomplete=1), Counter(too_long=1)
    assert Counted.of(rows, 1) == Counted(5, 1, 4, left_out, screened_out, trained=1, held_out=1)


def test_a_warning_rejects_nothing() -> None:
    warned = _row(findings=[{"rule": "short", "severity": "warning"}])
    assert Counted.of([warned], 1).screened_out == Counter()


def test_the_page_shows_answers_gate_counts_and_seconds_in_plain_ascii_frames() -> None:
    console = Console(width=100, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as captured:
        console.print(page(_turn("프린터를 다시 켜세요.")))
    shown = captured.get()
    for text in (
        "before (base)",
        "after (v1)",
        "프린터를 다시 켜세요.",
        "base 3.000 | v1 2.000: -1.000, 90% interval -1.200 to -0.800 (n 1)",
        "7 (4 imported, 3 chats of this demo)",
        "5 | 3",
        "The same question with the same reply is there already",
        "The reply goes round in circles",
        "training",
        "2 answered by base, 1 answered by v1",
    ):
        assert text in shown, text
    assert not {c for c in shown if ord(c) > 127} - set("프린터를 다시 켜세요.")


def test_lines_are_printed_at_a_change_of_state_and_not_for_each_reading() -> None:
    console = Console(width=200)
    with console.capture() as captured, LineView(console) as view:
        for reading in (IDLE, IDLE, TRAINING, {**TRAINING, "step": 4}, IDLE):
            view.show(reading, Seen(sent=2))
    assert len(captured.get().splitlines()) == 3


def test_a_line_tells_step_loss_time_left_and_the_chats_meanwhile() -> None:
    assert describe(TRAINING, Seen(sent=7)) == "training, step 3/30, loss 2.500, ETA 41 s, chats 7 (0 failed)"


def test_the_live_bar_is_ascii_and_fills_with_the_steps() -> None:
    console = Console(width=100, force_terminal=True)
    with console.capture() as captured, LiveView(console) as view:
        view.show({**TRAINING, "progress": 0.5}, Seen())
    shown = captured.get()
    assert "[########........] training, step 3/30" in shown
    assert shown.isascii()


def test_the_demo_touches_no_state_but_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://someone@example.invalid/theirs")
    monkeypatch.setenv("STATE_DIR", "elsewhere")
    settings = fresh_settings()
    state = str(ROOT / "var" / "demo")
    assert str(settings.state_dir) == state
    assert settings.database_url == f"sqlite:///{state}/whetstone.db"
    assert settings.mlflow_tracking_uri == f"sqlite:///{state}/mlflow.db"


def test_an_earlier_demo_is_forgotten_unless_it_still_runs(tmp_path: Path) -> None:
    state = tmp_path / "demo"
    forget(state)
    (state / "adapters" / "v1").mkdir(parents=True)
    (state / "whetstone.db").write_text("old")
    running = Claim(state, "mark")
    running.take(lambda line: None)
    with pytest.raises(AlreadyUp):
        forget(state)
    assert (state / "whetstone.db").exists()
    running.release()
    forget(state)
    assert {path.name for path in state.iterdir()} == {"stack.lock"}


def _turn(answer: str) -> Turn:
    pair = PairedLoss(conversation_id="a", unit="u", tokens=5, base=3.0, candidate=2.0)
    check = Check(
        name="held_out_loss_vs_base",
        passed=True,
        statistic="clustered_bootstrap",
        n=1,
        estimate=-1.0,
        lower=-1.2,
        upper=-0.8,
        sentence="lower",
    )
    return Turn(
        version=1,
        questions=[("My printer?", Answer("Sorry.", "base"), Answer(answer, "v1"))],
        evaluation=Evaluation(
            version=1,
            base_fingerprint="f",
            held_out=(pair,),
            general=(),
            sanity=ArtifactSanity(finite=True, changed=True, right_base=True),
        ),
        verdict=Verdict(promoted=True, reasons=("better",), checks=(check,), thresholds=GateThresholds()),
        counted=Counted(4, 3, 2, Counter(duplicate=5), Counter(looping=3), 1, 1),
        stages=[("training", 12.0)],
        loop_seconds=40.0,
        seen=Seen(sent=3, by_model=Counter(base=2, v1=1)),
        urls=[("Whetstone", "http://127.0.0.1:8000")],
    )


def test_settings_of_the_demo_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENABLE_AUTH", "true")
    monkeypatch.setenv("API_KEY", "a")
    monkeypatch.setenv("ADMIN_API_KEY", "b")
    assert isinstance(fresh_settings(), Settings)
    assert fresh_settings().enable_auth is False
