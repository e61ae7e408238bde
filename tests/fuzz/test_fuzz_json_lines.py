"""Some seconds of the fuzzer; and that it would notice."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow

WITH_A_FAULT = """
import sys
import tests.fuzz.fuzz_json_lines as fuzzer
from resources.records import Record
fuzzer.read_json_lines = lambda file, limits: [Record(1, {}) for line in [file.read()] if b"null" in line]
fuzzer.main()
"""


def fuzz(tmp_path: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    # libFuzzer takes the peak of the process that started it for its own: no limit here, test_reader_memory has them
    bounds = ["-rss_limit_mb=0", "-max_len=4096", "-timeout=10", f"-artifact_prefix={tmp_path}/"]
    return subprocess.run(
        [sys.executable, *command, *bounds], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_reader_of_json_lines_survives_the_fuzzer(tmp_path: Path) -> None:
    ended = fuzz(tmp_path, "-m", "tests.fuzz.fuzz_json_lines", "-max_total_time=8")
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert not list(tmp_path.iterdir())
    runs, covered = re.search(r"Done (\d+) runs", ended.stderr), re.findall(r"cov: (\d+)", ended.stderr)
    assert runs
    assert int(runs[1]) > 1000
    assert int(covered[-1]) > 100


def test_the_fuzzer_notices_a_reader_that_gives_what_is_not_there(tmp_path: Path) -> None:
    ended = fuzz(tmp_path, "-c", WITH_A_FAULT, "-runs=50000")
    assert ended.returncode != 0
    assert "AssertionError" in ended.stdout + ended.stderr or "JSONDecodeError" in ended.stdout + ended.stderr
