"""One service under watch: started, looked at, started again when it died."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from deploy import processes
from deploy.services import Service

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
STEADY_SECONDS = 60.0
LOG_TAIL_LINES = 5


class Child:
    """The process of a service, every process it was seen to start, and when it may be tried again."""

    def __init__(self, service: Service, mark: str, log: Path, cwd: Path, say: Callable[[str], None]) -> None:
        self.service = service
        self.mark = f"{mark}/{service.name}"
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.seen: set[psutil.Process] = set()
        self.obstacle: str | None = None
        self.kept_down = False
        self.restarts = 0
        self._cwd = cwd
        self._say = say
        self._pause = FIRST_PAUSE_SECONDS
        self._started = 0.0
        self._retry_at: float | None = None

    def start(self) -> None:
        """Starts the process, or says once why it cannot be started now."""
        obstacle = self.service.obstacle()
        if obstacle:
            if obstacle != self.obstacle:
                self._say(f"{self.service.name} is not started: {obstacle}")
            self.obstacle = obstacle
            return
        self.obstacle = None
        self.kept_down = False
        self.process = processes.spawn(
            self.service.argv, mark=self.mark, log=self.log, cwd=self._cwd, environment=self.service.environment
        )
        self._started = time.monotonic()

    def look(self) -> None:
        """Notes what the process has started; restarts it when it is gone, later each time it dies young."""
        if self.kept_down:
            return
        if self.process is not None and self.process.poll() is None:
            self.seen = {known for known in self.seen if known.is_running()} | set(processes.tree(self.process.pid))
            if time.monotonic() - self._started > STEADY_SECONDS:
                self._pause = FIRST_PAUSE_SECONDS
        elif self._retry_at is None:
            self._announce()
        elif time.monotonic() >= self._retry_at:
            self._again()

    def end(self, grace: float) -> None:
        """Ends the process and all it was seen to start; it stays down until `start`."""
        self.kept_down = True
        leaders = [self.process.pid] if self.process else []
        processes.end(leaders, known=self.seen, mark=self.mark, grace=grace)
        self.process, self.seen = None, set()

    def why_not_ready(self, seconds: float) -> str:
        """One sentence on a service that did not come up, and the end of its log."""
        code = self.process.poll() if self.process else None
        what = f"ended with status {code}" if code is not None else "does not answer"
        tail = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return "\n".join([f"{self.service.name} {what} after {seconds:.0f} s; its log is {self.log} and ends:", *tail])

    def _announce(self) -> None:
        self._retry_at = time.monotonic() + self._pause
        if self.process is not None:
            status = self.process.returncode
            self._say(f"{self.service.name} died (status {status}, log {self.log}); again in {self._pause:.0f} s")

    def _again(self) -> None:
        self._retry_at = None
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        # What a dead parent left running would hold its ports and locks.
        processes.end(known=self.seen, mark=self.mark, grace=5)
        self.seen = set()
        self.process = None
        self.start()
        if self.process is not None:
            self.restarts += 1
            self._say(f"{self.service.name} was started again")
