"""Seconds from a batch's last conversation acknowledged to the first reply of the new version, by stage.

`.venv/bin/python -m bench.loop` starts a stack of its own on free ports and a fresh state under var/bench.
"""

import os
import shutil
import sys
from collections.abc import Sequence

from rich.console import Console

from bench.free_ports import free_ports
from bench.report import RESULTS, Figure, Report, Target
from deploy.background import BackgroundChat, Seen
from deploy.client import Client
from deploy.corpus import load, rows
from deploy.demo import fresh_settings
from deploy.demo_play import DemoFailed, Play
from deploy.services import pages
from deploy.stack import Stack, interrupted_by_signals
from deploy.timeline import Timeline
from resources.settings import ROOT, Settings

LOOP_SECONDS = Target(at_most=480)
SWAP_SECONDS = Target(at_most=10)
NONE_FAILED = Target(at_most=0)
# What no loop can do without, whoever wrote it: the gradient steps and the scoring.
WORK = ("training", "evaluating")


def settings() -> Settings:
    """The demo's settings on free ports, with a state that is thrown away."""
    fastapi_port, dagster_port, mlflow_port = free_ports(3)
    return fresh_settings(
        RESULTS / "loop-state", fastapi_port=fastapi_port, dagster_port=dagster_port, mlflow_port=mlflow_port
    )


def measure(settings: Settings) -> tuple[Timeline, Seen]:
    """One turn of the loop on real parts; DemoFailed when no version came of it."""
    shutil.rmtree(settings.state_dir, ignore_errors=True)
    url, console = pages(settings)["Whetstone"], Console(width=110)
    with (
        interrupted_by_signals(),
        Stack(settings),
        Client(url) as client,
        BackgroundChat(url) as chat,
    ):
        play = Play(settings, client, chat, console, console.print)
        play.loop(list(rows(load())))
    return play.timeline, chat.seen


def figures(timeline: Timeline, seen: Seen) -> Sequence[Figure]:
    """The whole against the work no loop can spare, each stage, and the chats sent meanwhile."""
    stages = {mark: (text, seconds) for mark, text, seconds in timeline.stages()}
    work = sum(seconds for mark, (_, seconds) in stages.items() if mark in WORK) or None
    whole = Figure("the whole loop", timeline.total(), "s", work, "training and evaluation alone", LOOP_SECONDS)
    return [
        whole,
        *(
            Figure(text, seconds, "s", target=SWAP_SECONDS if mark == "promoted" else None)
            for mark, (text, seconds) in stages.items()
        ),
        Figure("chats failed meanwhile", float(len(seen.failures)), target=NONE_FAILED),
        Figure("chats sent meanwhile", float(seen.sent)),
        Figure("slowest chat meanwhile", seen.slowest, "s"),
    ]


def main() -> int:
    try:
        timeline, seen = measure(settings())
    except DemoFailed as error:
        print(f"no version came of the loop: {error}", file=sys.stderr)
        return 1
    details = {"marks": timeline.marks, "failures": seen.failures, "by_model": dict(seen.by_model)}
    return Report("loop", figures(timeline, seen), details).finish()


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
