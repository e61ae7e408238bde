"""What `make watch` shows, over readings instead of a stack."""

from typing import Any

import httpx
import pytest
from rich.console import Console

from deploy.follow import follow
from deploy.watch import LineView

IDLE: dict[str, Any] = {"state": "idle"}
FAILED = {"version": 3, "attempts": 2, "error": "no memory", "advice": "ask for less"}


class Readings:
    """A client that tells these readings, then hangs up as a person with Ctrl-C."""

    def __init__(self, *readings: tuple[dict[str, Any] | None, list[dict[str, Any]]]) -> None:
        self.left = list(readings)

    def progress(self) -> dict[str, Any]:
        if not self.left:
            raise KeyboardInterrupt
        if self.left[0][0] is None:
            self.left.pop(0)
            raise httpx.ConnectError("refused")
        return self.left[0][0]

    def history(self) -> list[dict[str, Any]]:
        return self.left.pop(0)[1]


def shown(*readings: tuple[dict[str, Any] | None, list[dict[str, Any]]]) -> list[str]:
    console, said = Console(width=200), []  # type: ignore[var-annotated]
    with console.capture() as captured, pytest.raises(KeyboardInterrupt):
        follow(Readings(*readings), LineView(console), said.append, pause=lambda seconds: None)  # type: ignore[arg-type]
    return captured.get().splitlines() + said


def test_steps_are_shown_and_a_failed_attempt_once_with_what_to_do() -> None:
    training = {"state": "training", "step": 3, "total_steps": 30, "loss": 2.5, "tokens_per_second": 400.0,
                "eta_seconds": 41.0, "progress": 0.1}  # fmt: skip
    assert shown((IDLE, []), (training, [{**FAILED, "error": None}]), (IDLE, [FAILED]), (IDLE, [FAILED])) == [
        "  idle",
        "  training, step 3/30, loss 2.500, tokens/s 400, ETA 41 s",
        "  idle",
        "  v3, attempt 2: no memory",
        "  what to do: ask for less",
    ]


def test_a_stack_that_is_away_is_waited_for() -> None:
    assert shown((None, []), (IDLE, [])) == ["  idle", "  no answer, trying again: refused"]
