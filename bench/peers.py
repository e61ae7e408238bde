"""Environments of their own for what is only measured against: requirements/peers-NAME.lock in var/peers/NAME."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from resources.settings import ROOT

PEERS = ROOT / "var" / "peers"


def environment(name: str) -> Path:
    """The Python of a peer's environment, made at first use and whenever its lock has changed."""
    lock = ROOT / "requirements" / f"peers-{name}.lock"
    home = PEERS / name
    stamp = home / "installed"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    python = home / "bin" / "python"
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(home, ignore_errors=True)
        print(f"setting up {home.relative_to(ROOT)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--no-input", "-r", lock]
        subprocess.run(install, check=True)
        stamp.write_text(wanted, encoding="utf-8")
    return python
