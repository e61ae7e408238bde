"""A coverage-guided fuzzer of the JSON Lines reader: `python -m tests.fuzz.fuzz_json_lines -runs=100000`.

It starts from the seeds beside it. It ends with a crash, which libFuzzer saves, when the
reader raises anything, when a record is not what `json` reads, or when one could not be stored.
"""

import io
import json
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["core.strict_json", "resources.json_lines", "json.decoder"]):
    from resources.json_lines import read_json_lines
    from resources.records import USUAL_LIMITS, BadLine

SEEDS = Path(__file__).with_name("seeds")
LIMITS = USUAL_LIMITS._replace(record_bytes=2000)


@atheris.instrument_func
def one_file(data: bytes) -> None:
    """Every line is accounted for, in order, and what is read is sound."""
    lines = data.split(b"\n")
    before = 0
    for found in read_json_lines(io.BytesIO(data), LIMITS):
        assert before < found.line <= len(lines)
        before = found.line
        line = lines[found.line - 1]
        if isinstance(found, BadLine):
            assert 0 < found.column <= max(len(line), LIMITS.record_bytes) + 1
            assert found.rule
        else:
            assert found.value == json.loads(line.decode("utf-8-sig"))
            json.dumps(found.value, ensure_ascii=False, allow_nan=False).encode()


def main() -> None:
    # as inputs and not as a folder, which libFuzzer would fill with what it finds
    seeds = ",".join(str(path) for path in sorted(SEEDS.iterdir()))
    atheris.Setup([*sys.argv, f"-seed_inputs={seeds}"], one_file)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
