"""A private PostgreSQL server for the tests: started on a free port, ended with the test run, its data deleted."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DEBIAN = Path("/usr/lib/postgresql")
START_SECONDS = 60.0
# nothing but the machine itself can lose this data, and it is test data
FAST = ("fsync=off", "full_page_writes=off", "shared_buffers=64MB", "max_connections=100", "logging_collector=off")


class PostgresMissing(Exception):
    """PostgreSQL is not installed, or does not start here."""


def binaries() -> Path | None:
    """The folder with the newest `postgres` and `initdb` of Debian's packages, or of the path."""
    newest_first = sorted(DEBIAN.glob("*/bin"), key=lambda folder: float(folder.parent.name), reverse=True)
    on_path = [Path(found).parent for found in [shutil.which("initdb")] if found]
    return next((folder for folder in [*newest_first, *on_path] if (folder / "postgres").exists()), None)


def missing() -> str | None:
    """One sentence that says what to install, None where everything is there."""
    if binaries() is None:
        return "PostgreSQL is NOT INSTALLED, so nothing was tested on it: apt-get install postgresql"
    if os.geteuid() == 0 and _account() is None:
        return "PostgreSQL refuses to run as root and there is NO USER postgres: apt-get install postgresql"
    return None


@contextmanager
def private_server() -> Iterator[str]:
    """The address of a server of our own, `postgresql://postgres@127.0.0.1:<port>`, ended on leaving."""
    problem = missing()
    folder = binaries()
    if problem or folder is None:
        raise PostgresMissing(problem)
    # short, because the path of a Unix socket may have 107 bytes at most
    home = Path(tempfile.mkdtemp(prefix="wpg", dir="/tmp"))
    try:
        _give_away(home)
        data = home / "data"
        _run(
            [
                str(folder / "initdb"),
                "-D",
                str(data),
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
            ]
        )
        port = _free_port()
        server = _start(folder, data, home, port)
        try:
            _wait_until_ready(folder, server, home, port)
            yield f"postgresql://postgres@127.0.0.1:{port}"
        finally:
            _end(server)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _start(folder: Path, data: Path, home: Path, port: int) -> "subprocess.Popen[bytes]":
    options = [*FAST, "listen_addresses=127.0.0.1", f"port={port}", f"unix_socket_directories={home}"]
    command = [str(folder / "postgres"), "-D", str(data), *(part for option in options for part in ("-c", option))]
    with (home / "log").open("wb") as log:
        return subprocess.Popen(
            command, cwd=home, stdout=log, stderr=log, start_new_session=True, user=_user(), group=_group()
        )


def _wait_until_ready(folder: Path, server: "subprocess.Popen[bytes]", home: Path, port: int) -> None:
    ask = [str(folder / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres"]
    deadline = time.monotonic() + START_SECONDS
    while subprocess.run(ask, check=False).returncode != 0:
        if server.poll() is not None or time.monotonic() > deadline:
            tail = (home / "log").read_text(errors="replace").strip().splitlines()[-1:]
            raise PostgresMissing(f"PostgreSQL did not start on port {port}: {' '.join(tail)}")
        time.sleep(0.05)


def _end(server: "subprocess.Popen[bytes]") -> None:
    # SIGINT is PostgreSQL's fast shutdown: connections are closed, not waited for
    server.send_signal(2)
    try:
        server.wait(timeout=20)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _run(command: list[str]) -> None:
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, user=_user(), group=_group())
    if done.returncode:
        raise PostgresMissing(f"{Path(command[0]).name} failed: {done.stderr.strip()}")


def _account() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return None


def _user() -> int | None:
    account = _account()
    return account.pw_uid if account and os.geteuid() == 0 else None


def _group() -> int | None:
    account = _account()
    return account.pw_gid if account and os.geteuid() == 0 else None


def _give_away(home: Path) -> None:
    user, group = _user(), _group()
    if user is not None and group is not None:
        os.chown(home, user, group)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
