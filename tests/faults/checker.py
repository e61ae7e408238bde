"""What must hold after every fault, judged from tables and files alone: own SQL, no import of ours.

`python -m tests.faults.checker STATE [postgresql://…]` prints every fault that is found and exits 1 when there is one.
"""

import json
import sqlite3
import sys
from collections import Counter
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.e2e.checker import DOUBLED, HALF, LOST, Findings, Tables, check, sqlite_tables, tables_of

ALIAS = "production"
KEPT = 5
VISIBLE = ("datasets", "adapters")
# the version of ours behind an alias; NULL where the alias stands on one that names none
ALIASED = """SELECT t.value FROM registered_model_aliases a
  LEFT JOIN model_version_tags t ON t.name = a.name AND t.version = a.version AND t.key = 'whetstone.version'
  WHERE a.alias = ?"""
RUNS = """SELECT t.value, COUNT(*), SUM(r.status = 'RUNNING') FROM tags t JOIN runs r ON r.run_uuid = t.run_uuid
  WHERE t.key = 'whetstone.version' AND r.lifecycle_stage = 'active' GROUP BY t.value"""
USED = {"registered_model_aliases", "model_version_tags", "tags", "runs"}
REGISTERED = "SELECT value, COUNT(*) FROM model_version_tags WHERE key = 'whetstone.version' GROUP BY value"


def read(state: Path, url: str) -> Tables:
    """The tables, from whichever database holds them."""
    if not url.startswith("postgresql"):
        return sqlite_tables(state / "whetstone.db")
    import psycopg
    from psycopg.rows import dict_row

    with psycopg.connect(url, row_factory=dict_row) as store:
        store.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return tables_of(lambda query: store.execute(query.encode()).fetchall())


def standing(state: Path, url: str) -> dict[int, tuple[str, int]]:
    """State and attempts of each version, which is all that a look every moment needs."""
    query = "SELECT n, state, attempts FROM versions"
    if not url.startswith("postgresql"):
        with closing(sqlite3.connect(f"file:{state / 'whetstone.db'}?mode=ro", uri=True, timeout=30)) as found:
            return {n: (said, attempts) for n, said, attempts in found.execute(query)}
    import psycopg

    with psycopg.connect(url) as store:
        return {n: (said, attempts) for n, said, attempts in store.execute(query).fetchall()}


def judge(state: Path, url: str, *, sent: Collection[str], at_rest: bool, mlflow: bool = True) -> Findings:
    """Every promise; at rest nothing may be left undone either, and nothing wait for a version.

    `sent` are the conversations that were acknowledged, each of them good and unlike every other.
    """
    tables = read(state, url)
    # what a failed version took waits for a person: wrong, and said elsewhere, but not lost
    given_back = any(version["state"] in ("failed", "abandoned") for version in tables.versions.values())
    all_claimed = at_rest and not given_back
    found = check(state, tables=tables, all_claimed=all_claimed, at_rest=at_rest, kept=KEPT)
    _all_there(found, tables, sent)
    _nothing_half(found, state)
    for champion in tables.champions:
        _champion_is_whole(found, state, champion["n"], tables)
    if mlflow and (state / "mlflow.db").is_file():
        _registry(found, state, tables, at_rest)
    return found


def _all_there(found: Findings, tables: Tables, sent: Collection[str]) -> None:
    lost = set(sent) - tables.conversations.keys()
    found.demand(not lost, f"{len(lost)} acknowledged conversations are gone: {sorted(lost)[:3]}", LOST)
    for name in tables.conversations.keys() & set(sent):
        found.demand(bool(tables.conversations[name]["eligible"]), f"{name} was acknowledged and is not eligible", LOST)


def _nothing_half(found: Findings, state: Path) -> None:
    """What bears its final name has its manifest; whether its files are those of the manifest is checked elsewhere."""
    for kind in VISIBLE:
        for folder in (state / kind).glob("*"):
            whole = ".tmp" in folder.name or (folder / "manifest.json").is_file() or not folder.exists()
            found.demand(whole, f"{folder} is visible and has no manifest", HALF)
    for path in (state / "reports").glob("v*/*.json"):
        found.demand(_is_json(path), f"{path} is half a file", HALF)


def _champion_is_whole(found: Findings, state: Path, n: int | None, tables: Tables) -> None:
    """Complete and passed; what its files say was compared with the store by the check before."""
    if n is not None:
        found.demand(
            (state / "adapters" / f"v{n}" / "manifest.json").is_file(), f"the champion v{n} has no adapter", HALF
        )
        found.demand(tables.versions[n]["state"] == "promoted", f"the champion v{n} did not pass its gate")


def _registry(found: Findings, state: Path, tables: Tables, at_rest: bool) -> None:
    with closing(sqlite3.connect(f"file:{state / 'mlflow.db'}?mode=ro", uri=True, timeout=30)) as registry:
        there = {name for (name,) in registry.execute("SELECT name FROM sqlite_master")}
        # until MLflow has made its tables, at its first use, nothing is in them
        rows = [registry.execute(query).fetchall() if there >= USED else [] for query in (REGISTERED, RUNS)]
        registered = Counter({int(value): count for value, count in rows[0]})
        runs = [(int(value), count, running) for value, count, running in rows[1]]
        alias = registry.execute(ALIASED, (ALIAS,)).fetchone() if there >= USED else None
    n = int(alias[0]) if alias and alias[0] else None
    found.demand(not alias or n is not None, f"alias {ALIAS} stands on what is no version of ours")
    for version, count, running in runs:
        found.demand(count == 1, f"v{version} has {count} runs in MLflow", DOUBLED)
        if at_rest:
            found.demand(not running, f"the MLflow run of v{version} was never ended")
    for version, count in registered.items():
        found.demand(count == 1, f"v{version} is registered {count} times", DOUBLED)
        found.demand(version in tables.versions, f"v{version} is registered and does not exist")
    _champion_is_whole(found, state, n, tables)
    if at_rest:
        champions = {row["n"] for row in tables.champions if row["n"] is not None}
        found.demand({n} - {None} == champions, f"alias {ALIAS} says v{n}, the store {champions}")
        decided = {v for v, row in tables.versions.items() if row["state"] == "promoted" or row["adapter_sha256"]}
        waiting = {v for v in decided if tables.versions[v]["state"] in ("failed", "abandoned")}
        missing = sorted(decided - waiting - registered.keys())
        found.demand(not missing, f"decided and not registered: {missing}")


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, FileNotFoundError):
        return not path.exists()
    return True


def main(arguments: list[str]) -> int:
    """Judge one state at rest."""
    found = judge(Path(arguments[0]), (arguments[1:] or [""])[0], sent=(), at_rest=True)
    counts: list[Any] = [f"{name}: {n}" for name, n in found.counts.items()]
    sys.stdout.write("\n".join([*counts, *found.faults]) + "\n")
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
