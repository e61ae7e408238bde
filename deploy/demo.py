"""One turn of the loop in front of the user: `make demo`.

With DEMO_EXIT=1 it ends by itself, with status 0 only when v1 was promoted and answers.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from deploy.background import BackgroundChat
from deploy.client import Client
from deploy.corpus import distinct, load, rows
from deploy.demo_play import DemoFailed, Play
from deploy.demo_table import Turn, page
from deploy.services import pages
from deploy.stack import Stack, StackFailed, interrupted_by_signals
from deploy.stack_record import AlreadyUp, Claim
from resources.preflight import EXIT_STATUS, PreflightFailed
from resources.settings import ROOT, Settings, SettingsError, read_settings

STATE = Path("var/demo")
# Below the distinct conversations of the import and above what its first commits hold: the sensor fires once, for all.
BATCH_SIZE = 250
HELD = ("stack.lock", "stack.json")  # by which one demo keeps another out
LOG_TAIL_LINES = 15
TAILED = ("dagster", "ingress", "trainer-v1")


def fresh_settings(state_dir: Path = STATE, **chosen: Any) -> Settings:
    """The user's settings with a state of its own, so that a loop starts fresh and touches nothing else."""
    return read_settings(
        **{
            "state_dir": state_dir,
            "database_url": "",
            "mlflow_tracking_uri": "",
            "host": "127.0.0.1",
            "enable_auth": False,
            "answer_with": "student",
            "start_from": "base",
            "conversation_collection_enabled": True,
            "finetune_enabled": True,
            "finetune_auto_trigger": True,
            "finetune_batch_size": BATCH_SIZE,
            "finetune_min_interval_seconds": 0,
            **chosen,
        }
    )


def forget(state_dir: Path, say: Callable[[str], None] = print) -> None:
    """Remove what an earlier demo left; AlreadyUp while one still runs."""
    claim = Claim(state_dir, "forget")
    claim.take(say)
    try:
        for path in state_dir.iterdir():
            if path.name in HELD:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    finally:
        claim.release()


def run(settings: Settings, console: Console, *, stay: bool) -> int:
    """Start everything, play, show the page, and stay up until Ctrl-C where `stay` is set."""
    say = _teller(console)
    forget(settings.state_dir, say)
    say("Starting ingress with its engine, Dagster and MLflow; this takes about a minute.")
    began = time.monotonic()
    with interrupted_by_signals(), Stack(settings, say=lambda line: say(f"  {line}")):
        start_seconds = time.monotonic() - began
        for name, url in pages(settings).items():
            say(f"  {name:<10} {url}")
        try:
            turn = _play(settings, console, say, start_seconds)
        except DemoFailed as error:
            say(f"The demo failed: {error}")
            _show_logs(settings.state_dir / "logs", console)
            return 1
        console.print(page(turn))
        if turn.seen.failures:
            say(f"{len(turn.seen.failures)} requests failed, the first: {turn.seen.failures[0]}")
            return 1
        if stay:
            say("Everything stays up; Ctrl-C ends it.")
            _until_interrupted()
    return 0


def _play(settings: Settings, console: Console, say: Callable[[str], None], start_seconds: float) -> Turn:
    threads = load()
    say(f"{len(threads):,} threads of the corpus, {len(distinct(threads))} of them distinct.")
    url = pages(settings)["Whetstone"]
    with Client(url) as client, BackgroundChat(url) as chat:
        play = Play(settings, client, chat, console, say)
        return play.turn(list(rows(threads)), stages=[*_setup_seconds(), ("start of all services", start_seconds)])


def _setup_seconds() -> list[tuple[str, float]]:
    """What `make demo` measured before this process began."""
    measured = os.environ.get("SETUP_SECONDS", "")
    return [("set-up", float(measured))] if measured else []


def _until_interrupted() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        return


def _show_logs(folder: Path, console: Console) -> None:
    for name in TAILED:
        for path in sorted(folder.glob(f"{name}.*")):
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL_LINES:]
            console.print(f"--- end of {path}", *lines, sep="\n", markup=False, highlight=False, soft_wrap=True)


def _teller(console: Console) -> Callable[[str], None]:
    began = time.monotonic()

    def say(line: str) -> None:
        console.print(f"[{time.monotonic() - began:6.1f} s] {line}", markup=False, highlight=False, soft_wrap=True)

    return say


def main() -> int:
    """A start that cannot be is one sentence and status 2."""
    # A terminal that is not UTF-8 (EUC-KR, C) shows a question mark for what it lacks, and the demo goes on.
    sys.stdout.reconfigure(errors="replace", line_buffering=True)  # type: ignore[union-attr]
    console = Console(width=None if sys.stdout.isatty() else 110, emoji=False)
    try:
        return run(fresh_settings(), console, stay=os.environ.get("DEMO_EXIT", "") in ("", "0"))
    except (SettingsError, PreflightFailed, AlreadyUp) as error:
        print(error, file=sys.stderr)
        return EXIT_STATUS
    except StackFailed as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Ended before the loop was through; nothing is left running.")
        return 130


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
