"""A stand-in for train.py: does what its first argument says. Run as a script by the tests of TrainerProcess."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from resources.process import die_with_parent, sign_of_life


def main() -> int:
    what, folder = sys.argv[1], Path(sys.argv[2])
    asked = dict(zip(sys.argv[3::2], sys.argv[4::2], strict=True))
    (folder / "asked.json").write_text(json.dumps(asked))
    if what == "done":
        return 0
    if what == "fails":
        sys.stderr.write("a library warns\n")
        sys.stderr.write(json.dumps({"error_class": "DISK_ERROR", "message": "No space left"}) + "\n")
        return 1
    if what.startswith("status-"):
        sys.stderr.write('not json\n{"half": \n["a list"]\n')
        return int(what.removeprefix("status-"))
    if what == "kills-itself":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "steps":
        for _ in range(40):
            time.sleep(0.05)
            sign_of_life()
        return 0
    return wait_for_the_end(what, folder, int(asked["--parent"]))


def wait_for_the_end(what: str, folder: Path, parent: int) -> int:
    """Says that it runs, then waits: politely until SIGTERM, or (`deaf`) whatever comes."""
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: ended.append(number))
    die_with_parent(parent)
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) if what == "with-helper" else None
    if helper:
        (folder / "helper").write_text(str(helper.pid))
    (folder / "running.tmp").write_text(str(os.getpid()))
    (folder / "running.tmp").rename(folder / "running")
    if what == "stands-still":
        os.kill(os.getpid(), signal.SIGSTOP)
    while not ended or what == "deaf":
        time.sleep(0.01)
    (folder / "saved").write_text("checkpoint")
    return 143


if __name__ == "__main__":
    sys.exit(main())
