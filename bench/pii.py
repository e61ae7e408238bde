"""Personal data found in generated turns: recall and precision of each kind beside Presidio's, and the speed of both.

`.venv/bin/python -m bench.pii` makes Presidio's environment under var/peers/presidio, once.
"""

import gc
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from bench.peers import environment
from bench.pii_score import Found, Score, score
from bench.pii_turns import STRUCTURED, Turn, turns
from bench.report import RESULTS, Figure, Report, Target
from core.pii import PII_VERSION, find
from deploy.corpus import load, rows
from resources.settings import ROOT

TURNS = 6000
SEEN, HELD_BACK = 3, 20261121
# seeds of as many turns more: what takes ours a sixth of a second would be the machine's mood at that moment
BEFORE, AFTER = range(20261122, 20261127), range(20261127, 20261132)
RECALL, PRECISION, SPEED = Target(at_least=0.99), Target(at_least=0.98), Target(at_least=50, of_ratio=True)
KINDS = (*STRUCTURED, "address")
# Presidio's entities under our names; what it calls something else was not looked for by us, so it counts neither way
ENTITIES = {
    "KR_RRN": "rrn",
    "KR_FRN": "frn",
    "KR_DRIVER_LICENSE": "driver_licence",
    "KR_PASSPORT": "passport",
    "US_PASSPORT": "passport",
    "CREDIT_CARD": "card",
    "US_SSN": "ssn",
    "KR_BRN": "business_number",
    "IBAN_CODE": "bank_account",
    "US_BANK_NUMBER": "bank_account",
    "PHONE_NUMBER": "phone",
    "EMAIL_ADDRESS": "email",
    "IP_ADDRESS": "ip_address",
}
THEIRS = frozenset(ENTITIES.values())
THRESHOLDS = (0.0, 0.05, 0.1, 0.3, 0.4, 0.5, 0.6, 0.85)


def ours(texts: Sequence[str]) -> list[list[Found]]:
    """What `find` finds."""
    return [[(one.kind, one.start, one.end) for one in find(text)] for text in texts]


def seconds_of(texts: Sequence[str]) -> float:
    """The processor seconds of finding it."""
    find("warm 010-1234-5678")
    gc.collect()
    gc.freeze()  # what the bench keeps is no work of looking; Presidio's process does the same
    started = time.process_time()
    for text in texts:
        find(text)
    return time.process_time() - started


def _seconds_of_turns(seeds: Iterable[int]) -> float:
    """What ours takes for TURNS turns of each seed."""
    return seconds_of([turn.text for seed in seeds for turn in turns(seed, TURNS)])


def real_talk() -> list[list[str]]:
    """The texts of each of the demo's conversations, which people wrote: what a dataset is made of."""
    said = rows(load())
    return [[*(message["content"] for message in one["messages"]), one["reply"]] for one in said]


def presidio(given: Sequence[Turn], talk: Sequence[str], folder: Path) -> dict[str, Any]:
    """The same turns and talk in its own environment and process, one after the other as ours."""
    python = environment("presidio")
    folder.mkdir(parents=True, exist_ok=True)
    asked = _written(folder / "pii-turns.jsonl", [(turn.text, turn.language) for turn in given])
    more = _written(folder / "pii-talk.jsonl", [(text, "ko" if re.search("[가-힣]", text) else "en") for text in talk])
    answered = folder / "pii-presidio.json"
    subprocess.run([python, "bench/peer_presidio.py", asked, more, answered], check=True, stderr=subprocess.DEVNULL)
    answer: dict[str, Any] = json.loads(answered.read_text(encoding="utf-8"))
    return answer


def _written(path: Path, texts: Sequence[tuple[str, str]]) -> Path:
    lines = [json.dumps({"text": text, "language": language}) for text, language in texts]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def at_its_best(given: Sequence[Turn], found: Sequence[Sequence[Sequence[Any]]]) -> tuple[float, Score]:
    """Presidio's spans at the score threshold with the best F1 over the kinds that it has."""
    tried = [(limit, score(given, [_kept(each, limit) for each in found])) for limit in THRESHOLDS]
    return max(tried, key=lambda pair: _f1(pair[1]))


def _kept(found: Sequence[Sequence[Any]], limit: float) -> list[Found]:
    return [(ENTITIES[name], start, end) for name, start, end, sure in found if sure >= limit and name in ENTITIES]


def _f1(result: Score) -> float:
    recall, precision = result.recall(THEIRS) or 0, result.precision(THEIRS) or 0
    return 2 * recall * precision / (recall + precision) if recall + precision else 0


def figures(
    mine: Score, fresh: Score, theirs: Mapping[str, Score], per_row: tuple[float, float], per_turn: tuple[float, float]
) -> list[Figure]:
    """`per_row` of real talk and `per_turn` of ours are what we and Presidio look through in a second."""
    korean, name = theirs["korean"], "Presidio"
    of_all = [
        Figure("recall", mine.recall(STRUCTURED), "", korean.recall(STRUCTURED), name, RECALL),
        Figure("precision", mine.precision(STRUCTURED), "", korean.precision(STRUCTURED), name, PRECISION),
        Figure("recall, wordings held back", fresh.recall(STRUCTURED), target=RECALL),
        Figure("precision, wordings held back", fresh.precision(STRUCTURED), target=PRECISION),
    ]
    speed = Figure("rows a second: real conversations", per_row[0], "", per_row[1], name, SPEED)
    labelled = Figure(
        "rows a second: the labelled turns, four in five with numbers", per_turn[0], "", per_turn[1], name, SPEED
    )
    return [*of_all, labelled, speed, *(_of_kind(kind, mine, korean) for kind in KINDS)]


def _of_kind(kind: str, mine: Score, theirs: Score) -> Figure:
    other = theirs.recall([kind]) if kind in THEIRS else None
    return Figure(f"recall of {kind}", mine.recall([kind]), "", other, "Presidio")


def shown(mine: Score, fresh: Score, theirs: Mapping[str, Score]) -> Table:
    """Recall and precision of every kind, whoever found it."""
    columns = {"ours": mine, "ours, held back": fresh, **{f"Presidio, {name}": one for name, one in theirs.items()}}
    table = Table(box=box.ASCII, title="recall / precision")
    table.add_column("kind")
    table.add_column("values", justify="right")
    for heading in columns:
        table.add_column(heading, justify="right")
    for kinds in (*((kind,) for kind in KINDS), STRUCTURED):
        cells = [_both(one, kinds, heading.startswith("ours")) for heading, one in columns.items()]
        number = sum(mine.labelled[kind] for kind in kinds)
        table.add_row(kinds[0] if len(kinds) == 1 else "structured, together", str(number), *cells)
    return table


def _both(result: Score, kinds: Sequence[str], is_ours: bool) -> str:
    if not is_ours and THEIRS.isdisjoint(kinds):
        return "-"
    return " / ".join(
        "-" if share is None else f"{share:.3f}" for share in (result.recall(kinds), result.precision(kinds))
    )


def main() -> int:
    seen, held_back = turns(SEEN, TURNS), turns(HELD_BACK, TURNS, held_back=True)
    talk = real_talk()
    texts = [text for one in talk for text in one]
    # the wordings held back first: the interpreter and the caches are warm for both, and no turn is timed twice
    fresh = score(held_back, ours([turn.text for turn in held_back]))
    mine = score(seen, ours([turn.text for turn in seen]))
    before = _seconds_of_turns(BEFORE)
    talk_seconds = seconds_of(texts)
    answer = presidio(seen, texts, RESULTS)
    seconds = (before + _seconds_of_turns(AFTER)) / (len(BEFORE) + len(AFTER))
    best = {name: at_its_best(seen, each["found"]) for name, each in answer.items()}
    theirs = {name: result for name, (_, result) in best.items()}
    Console(width=120).print(shown(mine, fresh, theirs))
    thresholds = ", ".join(f"{name} {limit:g}" for name, (limit, _) in best.items())
    print(
        f"{TURNS} turns of seed {SEEN}, as many of seed {HELD_BACK}; Presidio at its best score threshold: {thresholds}"
    )
    peer = answer["korean"]
    per_row = len(talk) / talk_seconds, len(talk) / peer["talk_seconds"]
    alone = TURNS / seconds, TURNS / peer["seconds"]
    details = {
        "pii_version": PII_VERSION,
        "thresholds": {name: limit for name, (limit, _) in best.items()},
        "precision": {kind: mine.precision([kind]) for kind in KINDS},
        "held_back": {kind: [fresh.recall([kind]), fresh.precision([kind])] for kind in KINDS},
        "presidio": {n: {k: [r.recall([k]), r.precision([k])] for k in KINDS} for n, r in theirs.items()},
        "presidio_turns_a_second": {name: TURNS / each["seconds"] for name, each in answer.items()},
    }
    return Report("pii", figures(mine, fresh, theirs, per_row, alone), details).finish()


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
