"""Shows one run on the terminal while it happens: a live bar on a TTY, plain lines elsewhere."""

import time
from abc import ABC, abstractmethod
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from deploy.background import Seen

LINE_SECONDS = 5.0
BAR_CELLS = 16


class RunView(ABC):
    """Takes each reading of `GET /mlops/training-progress` and shows what a person wants of it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    @abstractmethod
    def show(self, progress: dict[str, Any], seen: Seen | None) -> None:
        """Show the newest reading."""


class LineView(RunView):
    """A line at each change of state and every few seconds of training."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: tuple[str, int | None] = ("", None)
        self._at = 0.0

    def show(self, progress: dict[str, Any], seen: Seen | None) -> None:
        now = (progress["state"], progress.get("step"))
        changed = now[0] != self._last[0]
        if changed or (now != self._last and time.monotonic() - self._at >= LINE_SECONDS):
            self._console.print("  " + describe(progress, seen), highlight=False)
            self._last, self._at = now, time.monotonic()


class LiveView(RunView):
    """A bar that is redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, progress: dict[str, Any], seen: Seen | None) -> None:
        self._live.update(Text(f"  {_bar(progress)} {describe(progress, seen)}"))


def view_for(console: Console) -> RunView:
    """The live view where the terminal can redraw, lines where it cannot."""
    return LiveView(console) if console.is_terminal else LineView(console)


def describe(progress: dict[str, Any], seen: Seen | None) -> str:
    """One line: state, step, loss, ETA, and the chats sent meanwhile, where somebody sends them."""
    parts = [str(progress["state"]), *(_training(progress) if progress["state"] == "training" else ())]
    return ", ".join([*parts, *([f"chats {seen.sent} ({len(seen.failures)} failed)"] if seen else [])])


def _training(progress: dict[str, Any]) -> list[str]:
    steps = [f"step {progress.get('step') or 0}/{progress['total_steps']}"] if progress.get("total_steps") else []
    return steps + [
        f"{name} {value:{form}}{unit}"
        for name, key, form, unit in (
            ("loss", "loss", ".3f", ""),
            ("tokens/s", "tokens_per_second", ".0f", ""),
            ("ETA", "eta_seconds", ".0f", " s"),
        )
        if (value := progress.get(key)) is not None
    ]


def _bar(progress: dict[str, Any]) -> str:
    """Of ASCII: the usual blocks are two cells wide in many Korean terminals."""
    done = round(BAR_CELLS * float(progress.get("progress") or 0.0))
    return f"[{'#' * done}{'.' * (BAR_CELLS - done)}]"
