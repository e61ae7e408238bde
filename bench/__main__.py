"""Every bench, one after the other, and one table of all figures: `make bench`."""

import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from bench.report import RESULTS, load, table
from resources.settings import ROOT


def names() -> list[str]:
    """The modules of this folder that measure something: those with a `main` of their own."""
    found = (path for path in Path(__file__).parent.glob("*.py") if path.name != "__main__.py")
    return sorted(path.stem for path in found if "\ndef main() -> int:" in path.read_text(encoding="utf-8"))


def main() -> int:
    """0 when every bench ended with 0."""
    failed = []
    for name in names():
        (RESULTS / f"{name}.json").unlink(missing_ok=True)  # what is shown at the end was measured now
        print(f"--- {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False).returncode != 0:
            failed.append(name)
    reports = [load(path) for name in names() if (path := RESULTS / f"{name}.json").is_file()]
    if reports:
        Console(width=120).print(table(*reports))
    print(f"fell short: {', '.join(failed)}" if failed else "every target holds")
    return 1 if failed else 0


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
