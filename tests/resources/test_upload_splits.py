"""An uploaded file in parts: what belongs together stays so, and what only ends alike does not."""

import json
from pathlib import Path
from typing import Any

from resources.upload_reading import BATCH_CHARACTERS, in_batches
from resources.upload_splits import split
from tests.resources.examples import NOON


def dialogue(n: int) -> dict[str, Any]:
    turns = [("user", f"{'abcdefghijklmnopqrstuvwxyz'[n % 26] * 30} {n * 7919} 은 무엇인가요?"),
             ("assistant", f"{n * 104729} {'zyxwvutsrqponmlkjihgfedcba'[n % 26] * 40} 입니다."),
             ("user", "고마워요"), ("assistant", "천만에요.")]  # fmt: skip
    return {"messages": [{"role": role, "content": content} for role, content in turns], "thread_id": f"t{n}"}


def test_dialogues_that_end_alike_are_not_one_group(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(dialogue(n), ensure_ascii=False) + "\n" for n in range(40)))
    job = {"id": 1, "path": str(path), "extension": "jsonl", "format": "messages", "mapping": {}}
    found = split({**job, "created_at": NOON.isoformat(), "shares": {"train": 0.6, "validation": 0.2, "test": 0.2}})
    assert found["groups"] > 20
    assert all(found["split"][part]["count"] for part in ("train", "validation", "test"))


def test_long_records_are_held_a_few_at_a_time() -> None:
    lengths = [BATCH_CHARACTERS // 2] * 5 + [1] * 4
    assert [len(batch) for batch in in_batches(lengths, 3, int)] == [2, 2, 3, 2]
