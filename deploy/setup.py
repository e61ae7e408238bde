"""Sets everything up, with the standard library alone: `python3.11 deploy/setup.py [--dev]`.

The packages of a lock in `.venv`, the base model, and with --dev what the tests need of the system. What is there
already is left alone, so that it may run before every command.
"""

import argparse
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
STAMP = VENV / "whetstone-setup.json"
LOG = ROOT / "var" / "logs" / "setup.log"
SAY_EVERY_SECONDS = 10.0
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
FAILED = 2


class SetupFailed(RuntimeError):
    """The set-up cannot go on; the message is a sentence that says what to do."""


def main() -> int:
    """Sets up what is missing; 2 with a sentence where it cannot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dev", action="store_true", help="with what the tests need")
    dev = parser.parse_args().dev
    try:
        _check_python()
        with _alone():
            _packages(dev)
        if dev:
            _system_packages()
        return subprocess.run([_python(), "-m", "deploy.prepare_model"], cwd=ROOT, check=False).returncode
    except SetupFailed as error:
        print(f"setup: {error}", file=sys.stderr, flush=True)
        return FAILED


def _say(line: str) -> None:
    print(f"setup: {line}", flush=True)


def _check_python() -> None:
    found = sys.version_info[:2]
    if found != (3, 11):
        raise SetupFailed(
            f"Python 3.11 is needed, because the engine is built for no other, and this is {found[0]}.{found[1]}: "
            "install python3.11 and run again (PYTHON=/path/to/python3.11 make names another one)."
        )


@contextmanager
def _alone() -> Iterator[None]:
    """Two set-ups at a time wait for each other."""
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with (LOG.parent / "setup.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _packages(dev: bool) -> None:
    device = _device()
    wanted = _wanted(device, dev)
    if _stamp(wanted) in _stamps() and _python().exists():
        return
    began = time.monotonic()
    _make_venv()
    number = len(re.findall(r"^[\w.-]+==", wanted, flags=re.MULTILINE))
    _say(f"installing {number} packages for {device.upper()} into .venv; the first time takes minutes")
    with tempfile.NamedTemporaryFile("w", suffix=".lock") as lock:
        lock.write(wanted)
        lock.flush()
        _install(lock.name, number)
    # With the packages of the tests those of a plain start are there too.
    STAMP.write_text(json.dumps(sorted({_stamp(wanted), _stamp(_wanted(device, dev=False))})), encoding="utf-8")
    _say(f"packages are installed ({time.monotonic() - began:.0f} s)")


def _device() -> str:
    """`gpu` where an NVIDIA driver answers, unless WHETSTONE_DEVICE says otherwise."""
    chosen = os.environ.get("WHETSTONE_DEVICE", "").lower()
    if chosen not in {"", "cpu", "gpu"}:
        raise SetupFailed(f"WHETSTONE_DEVICE={chosen}: expected cpu or gpu; unset it to let the set-up look for a GPU.")
    if chosen:
        return chosen
    tool = shutil.which("nvidia-smi")
    answers = tool and subprocess.run([tool, "-L"], capture_output=True, check=False).returncode == 0
    return "gpu" if answers else "cpu"


def _wanted(device: str, dev: bool) -> str:
    """The requirements to install, torch first: a machine that finds none learns it in seconds."""
    packages = _lock(device)
    if dev:
        cpu = _lock("cpu")
        packages |= {name: entry for name, entry in _lock("dev").items() if name not in cpu and name not in packages}
    first = {"torch": packages.pop("torch")}
    return "".join([*first.values(), *packages.values()])


def _lock(name: str) -> dict[str, str]:
    """Package to its lines in the lock, hashes included."""
    text = (ROOT / "requirements" / f"{name}.lock").read_text(encoding="utf-8")
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)
    return {entry.partition("==")[0]: entry for entry in entries if "==" in entry}


def _stamp(wanted: str) -> str:
    return hashlib.sha256(wanted.encode()).hexdigest()


def _stamps() -> list[str]:
    """What was installed whole, as hashes of its requirements."""
    try:
        stamps: list[str] = json.loads(STAMP.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return []
    return stamps


def _python() -> Path:
    return VENV / "bin" / "python"


def _make_venv() -> None:
    if _python().exists():
        version = subprocess.run([_python(), "-V"], capture_output=True, text=True, check=False).stdout
        if not version.startswith("Python 3.11."):
            raise SetupFailed(f".venv holds {version.strip() or 'no Python that runs'}: delete .venv and run again.")
        return
    _say("creating .venv")
    made = subprocess.run([sys.executable, "-m", "venv", VENV], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        shutil.rmtree(VENV, ignore_errors=True)
        raise SetupFailed(
            "python3.11 could not create .venv; on Debian and Ubuntu the package python3.11-venv is missing "
            f"(apt-get install python3.11-venv). It said: {(made.stderr or made.stdout).strip()[-300:]}"
        )


def _install(lock: str, number: int) -> None:
    """Runs pip with its output in the log, and says every few seconds how far it is."""
    STAMP.unlink(missing_ok=True)
    command = [_python(), "-m", "pip", "install", "--no-deps", "--require-hashes", "--no-compile", "--no-input"]
    began = said = time.monotonic()
    found, doing = 0, "fetched"
    with LOG.open("w", encoding="utf-8") as log:
        pip = subprocess.Popen(
            [*command, "-r", lock], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for line in pip.stdout or ():
            log.write(line)
            found += "(from -r " in line and not line.startswith(" ")
            if line.startswith("Installing"):
                doing = "fetched, unpacking"
                _say(f"{found} of {number} packages fetched, unpacking them ({time.monotonic() - began:.0f} s)")
            if time.monotonic() - said > SAY_EVERY_SECONDS:
                said = time.monotonic()
                _say(f"{found} of {number} packages {doing} ({said - began:.0f} s)")
    if pip.wait() != 0:
        raise SetupFailed(_why(LOG.read_text(encoding="utf-8")))
    _say(f"compiling them ({time.monotonic() - began:.0f} s)")
    # On all cores, which pip does not do; a package's templates that are no Python are no matter.
    compiling = [_python(), "-m", "compileall", "-q", "-j", "0", VENV / "lib"]
    with subprocess.Popen(compiling, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as work:
        while _goes_on(work):
            _say(f"still compiling ({time.monotonic() - began:.0f} s)")


def _goes_on(work: "subprocess.Popen[bytes]") -> bool:
    """Waits for the next line to say; False when the work is done."""
    try:
        work.wait(SAY_EVERY_SECONDS)
    except subprocess.TimeoutExpired:
        return True
    return False


def _why(output: str) -> str:
    """The sentence for what pip could not do."""
    missing = re.search(r"No matching distribution found for (\S+)", output)
    if missing and missing[1].startswith("torch==") and "+cpu" in missing[1]:
        return (
            f"no CPU build of torch ({missing[1]}) was found where pip looks: run again with PyTorch's own index, "
            f"PIP_EXTRA_INDEX_URL={TORCH_INDEX} make setup"
        )
    if missing:
        return f"{missing[1]} was not found where pip looks: check the connection and pip's index settings ({LOG})."
    errors = [line for line in output.splitlines() if line.startswith(("ERROR", "error"))]
    return f"pip failed, its output is in {LOG}: {errors[-1] if errors else output.strip()[-300:]}"


def _system_packages() -> None:
    """PostgreSQL for the store's second set of tests, and Chromium for those that open a page."""
    missing = [
        name for name, there in {"postgresql": _has_postgres(), "chromium": _has_chromium()}.items() if not there
    ]
    if not missing:
        return
    apt = _apt()
    if apt is None:
        _warn(missing, "this user may not install packages")
        return
    _say(f"installing {' and '.join(missing)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with LOG.open("a", encoding="utf-8") as log:
        for step in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
            done = subprocess.run([*apt, *step], env=environment, stdout=log, stderr=log, check=False)
    if done.returncode != 0:
        _warn(missing, f"apt-get failed, see {LOG}")


def _warn(missing: list[str], why: str) -> None:
    print(
        f"setup: WARNING: {' and '.join(missing)} could not be installed ({why}); the tests that need "
        f"{'it' if len(missing) == 1 else 'them'} cannot run. Remedy: sudo apt-get install {' '.join(missing)}",
        file=sys.stderr,
        flush=True,
    )


def _has_postgres() -> bool:
    return bool(shutil.which("initdb") or list(Path("/usr/lib/postgresql").glob("*/bin/initdb")))


def _has_chromium() -> bool:
    return any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))


def _apt() -> list[str] | None:
    """The command that installs system packages without asking anything, or None."""
    tool = shutil.which("apt-get")
    if tool is None:
        return None
    if os.geteuid() == 0:
        return [tool]
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0:
        return [sudo, "-n", tool]
    return None


if __name__ == "__main__":
    sys.exit(main())
