"""The supervisor, with small programs in place of the services: what it starts it ends, whatever died meanwhile."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from deploy import processes, stack_record
from deploy.services import Service, pages, services
from deploy.stack import ENDING, Stack, StackFailed, interrupted_by_signals
from resources.settings import ROOT, Settings

# A service: answers 200 on its port, after starting a child in a session of its own, as Ray and Dagster do.
SERVER = """
import http.server, pathlib, subprocess, sys
port, notes = int(sys.argv[1]), pathlib.Path(sys.argv[2])
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
with notes.open("a") as file:
    file.write(f"{child.pid}\\n")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *arguments):
        pass
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"did not hold within {seconds} s"
        time.sleep(0.05)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "grandchildren"


@pytest.fixture
def server(notes: Path) -> Service:
    port = free_port()
    return Service(
        "server", (sys.executable, "-c", SERVER, str(port), str(notes)), ready_url=f"http://127.0.0.1:{port}/"
    )


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def stack(settings: Settings, server: Service, said: list[str]) -> Iterator[Stack]:
    stack = Stack(settings, parts=[server], say=said.append, ready_seconds=30, grace_seconds=2)
    yield stack
    stack.stop()


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def grandchildren(notes: Path) -> list[int]:
    return [int(line) for line in notes.read_text().split()]


@pytest.mark.slow
def test_nothing_is_left_after_the_stack_ends(stack: Stack, notes: Path, settings: Settings) -> None:
    with stack:
        leader = stack.pid("server")
        assert leader is not None
        assert processes.marked(stack.mark)
    assert not processes.marked(stack.mark)
    assert not any(runs(pid) for pid in [leader, *grandchildren(notes)])
    assert not (settings.state_dir / "stack.json").exists()


@pytest.mark.slow
def test_a_service_that_dies_is_said_and_started_again(stack: Stack, said: list[str], notes: Path) -> None:
    with stack:
        first = stack.pid("server")
        assert first is not None
        os.kill(first, signal.SIGKILL)
        until(lambda: stack.pid("server") not in (None, first))
        until(lambda: len(grandchildren(notes)) == 2)
        assert not runs(grandchildren(notes)[0]), "what the dead one had started is ended first"
    assert any("server died (status -9" in line for line in said)
    assert not processes.marked(stack.mark)


@pytest.mark.slow
def test_a_service_ended_on_purpose_stays_down_until_it_is_started(stack: Stack) -> None:
    with stack:
        stack.end_service("server")
        time.sleep(1.5)  # longer than the first pause before a restart
        assert stack.pid("server") is None
        stack.start_service("server")
        assert stack.pid("server") is not None


@pytest.mark.slow
def test_a_process_that_ignores_sigterm_is_killed(settings: Settings, said: list[str]) -> None:
    stubborn = Service("stubborn", (sys.executable, "-c", STUBBORN))
    with Stack(settings, parts=[stubborn], say=said.append, grace_seconds=1) as stack:
        pid = stack.pid("stubborn")
        time.sleep(0.5)
    assert pid is not None
    assert not runs(pid)
    assert any("were killed" in line for line in said)


@pytest.mark.slow
def test_a_service_that_ends_at_once_stops_the_start_and_shows_its_log(settings: Settings, server: Service) -> None:
    broken = Service("broken", (sys.executable, "-c", "raise SystemExit('no model here')"), ready_url=server.ready_url)
    stack = Stack(settings, parts=[server, broken], say=lambda line: None, ready_seconds=30, grace_seconds=2)
    with pytest.raises(StackFailed, match=r"(?s)broken ended with status 1 .*no model here"):
        stack.start()
    assert not processes.marked(stack.mark)


def test_a_service_with_an_obstacle_is_not_started_and_says_why(settings: Settings, said: list[str]) -> None:
    barred = Service("barred", (sys.executable, "-c", ""), obstacle=lambda: "its file is gone")
    with Stack(settings, parts=[barred], say=said.append) as stack:
        assert stack.pid("barred") is None
    assert said.count("barred is not started: its file is gone") == 1


@pytest.mark.slow
def test_two_stacks_do_not_share_a_state_folder(stack: Stack, settings: Settings) -> None:
    with stack, pytest.raises(stack_record.AlreadyUp, match="make down"):
        Stack(settings, parts=[]).start()


@pytest.mark.slow
def test_the_next_start_ends_what_a_killed_supervisor_left(settings: Settings, server: Service) -> None:
    lost = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], env={**os.environ, processes.MARK: "lost"}
    )
    (settings.state_dir / "stack.json").write_text('{"mark": "lost", "pid": 4194304, "started": 0}')
    with Stack(settings, parts=[], say=lambda line: None):
        assert not runs(lost.pid)
    lost.wait(10)


SUPERVISOR = """
import sys
from deploy import stack
from deploy.services import Service
from resources.settings import Settings
class Small(stack.Stack):
    def __init__(self, settings):
        super().__init__(settings, parts=[Service("sleeper", (sys.executable, "-c", "import time; time.sleep(600)"))])
stack.Stack = Small
sys.exit(stack.up(Settings(state_dir=sys.argv[1])))
"""


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("up;"):
            break
    yield process
    process.kill()
    process.wait()


@pytest.mark.slow
def test_ctrl_c_ends_everything_with_status_0(supervisor: subprocess.Popen[str], tmp_path: Path) -> None:
    supervisor.send_signal(signal.SIGINT)
    output, _ = supervisor.communicate(timeout=30)
    assert supervisor.returncode == 0
    assert "nothing is left running" in output
    assert stack_record.status(tmp_path, say=lambda line: None) == 3


@pytest.mark.slow
def test_make_down_ends_it_from_another_terminal(supervisor: subprocess.Popen[str], tmp_path: Path) -> None:
    assert stack_record.status(tmp_path, say=lambda line: None) == 0
    assert stack_record.down(tmp_path, say=lambda line: None) == 0
    assert supervisor.wait(10) == 0
    assert stack_record.down(tmp_path, say=lambda line: None) == 0, "a second time there is nothing to end"


@pytest.mark.slow
def test_make_down_finds_the_orphans_of_a_killed_supervisor(supervisor: subprocess.Popen[str], tmp_path: Path) -> None:
    supervisor.kill()
    supervisor.wait()
    assert stack_record.status(tmp_path, say=lambda line: None) == 0
    assert stack_record.down(tmp_path, say=lambda line: None) == 0
    assert stack_record.status(tmp_path, say=lambda line: None) == 3


def test_the_mlflow_page_waits_when_its_file_went_missing_under_a_served_version(tmp_path: Path) -> None:
    mlflow = {service.name: service for service in services(Settings(state_dir=tmp_path))}["mlflow"]
    assert mlflow.obstacle() is None
    (tmp_path / "champion.json").write_text("{}")
    assert "make restore" in (mlflow.obstacle() or "")


def test_services_receive_the_settings_of_their_stack(tmp_path: Path) -> None:
    for service in services(Settings(state_dir=tmp_path, fastapi_port=8123)):
        assert service.environment["STATE_DIR"] == str(tmp_path)
        assert service.environment["FASTAPI_PORT"] == "8123"


def test_an_mlflow_server_elsewhere_is_not_started_here(tmp_path: Path) -> None:
    names = [s.name for s in services(Settings(state_dir=tmp_path, mlflow_tracking_uri="http://mlflow.example:5000"))]
    assert names == ["ingress", "dagster"]


@pytest.mark.parametrize("first", ENDING)
def test_signals_after_the_first_do_not_reach_the_clean_up(first: signal.Signals) -> None:
    cleaned: list[signal.Signals] = []
    before = [signal.getsignal(number) for number in ENDING]

    def work() -> None:
        with interrupted_by_signals():
            try:
                signal.raise_signal(first)
            finally:
                for later in ENDING:
                    signal.raise_signal(later)
                    cleaned.append(later)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert cleaned == list(ENDING)
    assert [signal.getsignal(number) for number in ENDING] == before


@pytest.mark.slow
def test_a_terminal_that_is_gone_leaves_neither_processes_nor_a_held_folder(settings: Settings) -> None:
    def gone(line: str) -> None:
        raise OSError("no terminal")

    stubborn = Service("stubborn", (sys.executable, "-c", STUBBORN))
    stack = Stack(settings, parts=[stubborn], say=lambda line: None, grace_seconds=0.5)
    stack.start()
    mark, stack._say = stack.mark, gone
    until(lambda: bool(processes.marked(mark)))
    with suppress(OSError):
        stack.stop()
    assert processes.marked(mark) == []
    with Stack(settings, parts=[], say=lambda line: None):
        pass  # the folder is free again


def test_the_page_of_mlflow_is_shown_without_user_and_password(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, mlflow_tracking_uri="https://ann:secret@mlflow.example/ml")
    assert pages(settings)["MLflow"] == "https://mlflow.example/ml"
