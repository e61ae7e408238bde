"""Starts, watches and ends the services: `python -m deploy.stack up|down|status`."""

import argparse
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Self

from deploy import processes, stack_record
from deploy.child import Child
from deploy.services import Service, pages, services
from resources.preflight import EXIT_STATUS, PreflightFailed, check
from resources.settings import ROOT, Settings, SettingsError, read_settings

READY_SECONDS = 300.0
SAY_EVERY_SECONDS = 10.0
WATCH_SECONDS = 0.5
ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class StackFailed(RuntimeError):
    """A service did not come up; the message names it and its log."""


class Stack:
    """All services of one state folder; a context manager that leaves no process behind."""

    def __init__(
        self,
        settings: Settings,
        *,
        parts: Sequence[Service] | None = None,
        say: Callable[[str], None] = lambda line: print(line, flush=True),
        ready_seconds: float = READY_SECONDS,
        grace_seconds: float = 30.0,
    ) -> None:
        self.settings = settings
        self.mark = uuid.uuid4().hex
        self._say = say
        self._ready_seconds = ready_seconds
        self._grace = grace_seconds
        self._parts = parts
        self._children: dict[str, Child] = {}
        self._claim = stack_record.Claim(settings.state_dir, self.mark)
        self._ending = threading.Event()
        self._watch = threading.Thread(target=self._watch_children, name="stack-watch", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Everything up and answering, or StackFailed with nothing left running."""
        if self._parts is None:
            check(self.settings)
        began = time.monotonic()
        self._claim.take(self._say)
        try:
            for service in services(self.settings) if self._parts is None else self._parts:
                self._start_child(service)
            self._await_ready(list(self._children), began)
        except BaseException:
            self.stop()
            raise
        self._watch.start()

    def stop(self) -> None:
        """Ends every process of this stack; safe to call twice. A second Ctrl-C does not cut it short."""
        with _undisturbed():
            self._ending.set()
            if self._watch.is_alive():
                self._watch.join()
            try:
                self._end(list(self._children.values()))
            finally:  # a terminal that is gone takes no last words
                self._children.clear()
                self._claim.release()

    def pid(self, name: str) -> int | None:
        """Process id of a service that runs now."""
        child = self._children[name]
        return child.process.pid if child.process and child.process.poll() is None else None

    def end_service(self, name: str) -> None:
        """Ends one service and keeps it down until `start_service`."""
        self._children[name].end(self._grace)

    def start_service(self, name: str) -> None:
        """Starts one service again and waits until it answers."""
        self._children[name].start()
        self._await_ready([name], time.monotonic())

    def wait(self) -> None:
        """Blocks until `stop` is called from elsewhere."""
        while not self._ending.wait(1):
            pass

    def _start_child(self, service: Service) -> None:
        log = self.settings.state_dir / "logs" / f"{service.name}.log"
        child = self._children[service.name] = Child(service, self.mark, log, ROOT, self._say)
        child.start()

    def _await_ready(self, names: list[str], began: float) -> None:
        waiting, said = list(names), time.monotonic()
        deadline = time.monotonic() + self._ready_seconds
        while waiting:
            for child in [self._children[name] for name in waiting]:
                if child.obstacle:
                    waiting.remove(child.service.name)
                elif (
                    self._ending.is_set()
                    or child.process is None
                    or child.process.poll() is not None
                    or time.monotonic() > deadline
                ):
                    raise StackFailed(child.why_not_ready(time.monotonic() - began))
                elif child.service.is_ready():
                    waiting.remove(child.service.name)
                    self._say(f"{child.service.name} is ready ({time.monotonic() - began:.0f} s)")
            if waiting and time.monotonic() - said > SAY_EVERY_SECONDS:
                said = time.monotonic()
                self._say(f"waiting for {', '.join(waiting)} ({said - began:.0f} s)")
            self._ending.wait(0.2)

    def _watch_children(self) -> None:
        while not self._ending.wait(WATCH_SECONDS):
            for child in list(self._children.values()):
                child.look()

    def _end(self, children: list[Child]) -> None:
        leaders = [child.process.pid for child in children if child.process]
        known = {process for child in children for process in child.seen}
        if children and (killed := processes.end(leaders, known=known, mark=self.mark, grace=self._grace)):
            self._say(f"{killed} processes did not end within {self._grace:.0f} s and were killed")


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP inside the block end it as Ctrl-C does; those that follow the first change nothing."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        # A closing terminal sends several within milliseconds: the second must not hit the clean-up before it began.
        for each in ENDING:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """No signal cuts the clean-up short."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def show_pages(settings: Settings, say: Callable[[str], None] = print) -> None:
    """The addresses of the web pages, one a line."""
    for name, url in pages(settings).items():
        say(f"  {name:<10} {url}{'/docs' if name == 'Whetstone' else ''}")


def up(settings: Settings) -> int:
    """Runs the stack until Ctrl-C or `down`."""
    stack = Stack(settings)
    try:
        with interrupted_by_signals(), stack:
            print("up; Ctrl-C ends it, and so does `make down`", flush=True)
            show_pages(settings)
            stack.wait()
    except KeyboardInterrupt:
        print("ended; nothing is left running", flush=True)
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; a start that cannot be is one sentence and status 2."""
    parser = argparse.ArgumentParser(prog="python -m deploy.stack", description=__doc__)
    parser.add_argument("command", choices=["up", "down", "status"])
    command = parser.parse_args(arguments).command
    try:
        settings = read_settings()
        if command == "up":
            return up(settings)
        return stack_record.down(settings.state_dir) if command == "down" else stack_record.status(settings.state_dir)
    except (SettingsError, PreflightFailed, stack_record.AlreadyUp) as error:
        print(error, file=sys.stderr)
        return EXIT_STATUS
    except StackFailed as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
