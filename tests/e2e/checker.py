"""An independent judge of one state folder: plain SQL on the tables, plain reads of the folders, no import of ours.

`python -m tests.e2e.checker var` prints every fault and exits 1 when there is one.
"""

import hashlib
import hmac
import json
import sqlite3
import sys
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

# what a broken promise counts as, beside its words
LOST, DOUBLED, HALF = "lost", "doubled", "half artifacts"
FINISHED = ("promoted", "rejected", "failed", "abandoned")
WITH_ADAPTER = ("promoted", "rejected")
SIDES = ("train", "validation", "held_out")
CONVERSATIONS = "SELECT conversations.*, texts.messages, texts.reply FROM conversations JOIN texts USING (seq)"


@dataclass
class Findings:
    """Faults in words, and the counts that show how much was looked at."""

    faults: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def demand(self, holds: bool, fault: str, kind: str = "otherwise wrong") -> None:
        self.counts["facts checked"] += 1
        if not holds:
            self.faults.append(fault)
            self.counts[kind] += 1


@dataclass(frozen=True)
class Tables:
    """The three tables that are judged, as the database holds them, and what an id may be called in a dataset."""

    conversations: dict[str, dict[str, Any]]
    versions: dict[int, dict[str, Any]]
    champions: list[dict[str, Any]]
    ids: dict[str, str]


def sqlite_tables(path: Path) -> Tables:
    """All of them in one transaction: they are of one moment."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None, timeout=30)) as store:
        store.row_factory = sqlite3.Row
        store.execute("BEGIN")
        return tables_of(lambda query: [dict(row) for row in store.execute(query)])


def tables_of(rows: Callable[[str], list[dict[str, Any]]]) -> Tables:
    """What `rows` finds for each query."""
    conversations = {row["id"]: row for row in rows(CONVERSATIONS)}
    secrets = [row["value"].strip('"') for row in rows("SELECT value FROM settings WHERE key = 'pseudonyms'")]
    return Tables(
        conversations,
        {row["n"]: row for row in rows("SELECT * FROM versions ORDER BY n")},
        rows("SELECT * FROM champions"),
        {known: name for name in conversations for known in (name, *(_pseudonym(one, name) for one in secrets))},
    )


def _pseudonym(secret: str, name: str) -> str:
    """What stands in files for an id that is not of our making: of its keyed digest 32 digits, as letters a to p."""
    digest = hmac.new(secret.encode(), name.encode(), "sha256").hexdigest()
    return "p-" + "".join("abcdefghijklmnop"[int(digit, 16)] for digit in digest[:32])


def check(
    state: Path,
    *,
    all_claimed: bool = True,
    tables: Tables | None = None,
    at_rest: bool = True,
    kept: int | None = None,
) -> Findings:
    """Judge a state; with `all_claimed` no eligible conversation may still wait, with `at_rest` no version.

    `kept` versions and the champions have their files, where older ones may be removed. What stands under the final
    name of a checkpoint is judged at rest alone: whoever reads one looks at its hashes, and passes over a torn one.
    """
    found = Findings()
    tables = tables or sqlite_tables(state / "whetstone.db")
    versions = tables.versions
    _versions(found, versions, tables.champions, at_rest)
    _claims(found, tables.conversations, versions, all_claimed)
    champions = {row[name] for row in tables.champions for name in ("n", "previous")}
    for n, version in versions.items():
        if version["state"] in WITH_ADAPTER:
            _screened(found, n, tables.conversations)
            if kept is None or n in champions or n > len(versions) - kept:
                _dataset(found, state, n, tables)
                _adapter(found, state, version)
    for kind in ("datasets", "adapters", *(["checkpoints"] if at_rest else [])):
        for folder in _finished_folders(state / kind):
            _manifest(found, folder, thinned=kind == "datasets" and kept is not None)
    return found


def _versions(
    found: Findings, versions: dict[int, dict[str, Any]], champions: list[dict[str, Any]], at_rest: bool
) -> None:
    found.counts["versions"] = len(versions)
    found.demand(list(versions) == list(range(1, len(versions) + 1)), f"versions are numbered {list(versions)}")
    at_work = [n for n, version in versions.items() if version["state"] not in FINISHED]
    found.demand(len(at_work) <= 1, f"more than one version is at work: {at_work}", DOUBLED)
    for n, version in versions.items():
        if at_rest:
            found.demand(version["state"] in FINISHED, f"v{n} is still {version['state']}")
        if version["state"] in WITH_ADAPTER:
            promoted = json.loads(version["verdict"] or "{}").get("promoted")
            found.demand(
                promoted is (version["state"] == "promoted"), f"v{n} is {version['state']}, verdict {promoted}"
            )
    for champion in champions:
        state = versions.get(champion["n"], {}).get("state") if champion["n"] else "promoted"
        found.demand(state == "promoted", f"the champion v{champion['n']} is {state}")


def _claims(
    found: Findings, conversations: dict[str, dict[str, Any]], versions: dict[int, dict[str, Any]], all_claimed: bool
) -> None:
    """A row has one version column, so that one row cannot be in two; a text could, in two rows."""
    texts: dict[tuple[str, str], list[str]] = defaultdict(list)
    found.counts["conversations"] = len(conversations)
    for name, row in conversations.items():
        if not row["eligible"]:
            found.demand(row["version"] is None, f"{name} is not eligible and stands in v{row['version']}")
            found.demand(bool(row["reason"]), f"{name} is not eligible without a reason")
            continue
        found.counts["eligible"] += 1
        texts[_text(row)].append(name)
        found.demand(bool(row["complete"]), f"{name} is eligible and incomplete")
        if row["version"] is None:
            found.counts["waiting"] += 1
            if all_claimed:
                found.demand(False, f"{name} is eligible and in no version", LOST)
        else:
            found.counts["claimed"] += 1
            found.demand(row["version"] in versions, f"{name} is in v{row['version']}, which does not exist", LOST)
    for names in texts.values():
        found.demand(len(names) == 1, f"{names} are eligible and say the same", DOUBLED)


def _screened(found: Findings, n: int, conversations: dict[str, dict[str, Any]]) -> None:
    """Whatever a version took has a side, or reasons why it has none: nothing is passed over in silence."""
    for name, row in conversations.items():
        if row["version"] == n:
            said = row["side"] is not None or (row["rejected"] and _decoded(row["findings"]))
            found.demand(bool(said), f"{name} is in v{n}, on no side and not rejected for a reason", LOST)


def _dataset(found: Findings, state: Path, n: int, tables: Tables) -> None:
    conversations, versions = tables.conversations, tables.versions
    folder = state / "datasets" / f"v{n}"
    if not (folder / "manifest.json").is_file():
        found.demand(False, f"v{n} has no dataset", HALF)
        return
    sides = {side: pq.read_table(folder / f"{side}.parquet").to_pylist() for side in SIDES}
    for row in (row for rows in sides.values() for row in rows):
        row["id"] = tables.ids.get(row["id"], row["id"])
    ids = Counter(row["id"] for rows in sides.values() for row in rows)
    texts = Counter(
        (_normal(_last_user(row["messages"])), _normal(row["reply"])) for rows in sides.values() for row in rows
    )
    found.counts.update({f"v{n} {side}": len(rows) for side, rows in sides.items()})
    found.demand(max(ids.values(), default=0) <= 1, f"v{n}'s dataset holds an id twice: {ids.most_common(3)}", DOUBLED)
    twice = max(texts.values(), default=0) > 1
    found.demand(not twice, f"v{n}'s dataset holds a text twice: {texts.most_common(1)}", DOUBLED)
    expected = {name: row["side"] for name, row in conversations.items() if _belongs(row, n, versions)}
    actual = {row["id"]: side for side, rows in sides.items() for row in rows}
    for name in expected.keys() - actual.keys():
        found.demand(False, f"{name} (v{conversations[name]['version']}) is missing from the dataset of v{n}", LOST)
    for name in actual.keys() - expected.keys():
        found.demand(False, f"{name} is in the dataset of v{n} and should not be", DOUBLED)
    for name in actual.keys() & expected.keys():
        found.demand(actual[name] == expected[name], f"{name} is {expected[name]} in the store, {actual[name]} in v{n}")


def _belongs(row: dict[str, Any], n: int, versions: dict[int, dict[str, Any]]) -> bool:
    """Claimed by this or an earlier version that came to an end, placed on a side and not rejected by screening."""
    version = row["version"]
    if version is None or version > n or row["side"] is None or row["rejected"]:
        return False
    return version == n or versions[version]["state"] in WITH_ADAPTER


def _adapter(found: Findings, state: Path, version: dict[str, Any]) -> None:
    n, folder = version["n"], state / "adapters" / f"v{version['n']}"
    if not (folder / "manifest.json").is_file():
        found.demand(False, f"v{n} has no complete adapter", HALF)
        return
    adapter, dataset = _read(folder), _read(state / "datasets" / f"v{n}")
    found.counts["adapters"] += 1
    found.demand(set(adapter["files"]) == {"adapter_model.safetensors", "adapter_config.json"}, f"v{n}: odd files")
    for name, value in (("version", n), ("base_fingerprint", version["base_fingerprint"])):
        found.demand(adapter[name] == value, f"v{n}: manifest says {name} {adapter[name]}, the store {value}")
    hashes = {adapter["dataset_hash"], dataset["dataset_hash"], version["dataset_hash"]}
    found.demand(len(hashes) == 1, f"v{n}: adapter, dataset and store name different datasets: {hashes}")
    known = {_sha256(folder / name) for name in ("manifest.json", *adapter["files"])}
    found.demand(version["adapter_sha256"] in known, f"v{n}: no file of the adapter has the hash that the store holds")


def _manifest(found: Findings, folder: Path, *, thinned: bool) -> None:
    """Of an old dataset all tables may be gone together; its manifest says what they were."""
    manifest = _read(folder)
    present, listed = {path.name for path in folder.iterdir()} - {"manifest.json"}, set(manifest["files"])
    if thinned and not present:
        return
    found.demand(present == listed, f"{folder}: manifest lists {listed}, found {present}", HALF)
    for name, expected in manifest["files"].items():
        found.counts["files hashed"] += 1
        found.demand(_sha256(folder / name) == expected, f"{folder / name} is not what its manifest says", HALF)


def _finished_folders(parent: Path) -> Iterator[Path]:
    """Folders with a manifest; one without does not exist."""
    return (path.parent for path in parent.rglob("manifest.json") if ".tmp" not in path.parent.name)


def _text(row: dict[str, Any]) -> tuple[str, str]:
    return _normal(_last_user(_decoded(row["messages"]))), _normal(row["reply"])


def _last_user(messages: list[dict[str, str]]) -> str:
    return next((message["content"] for message in reversed(messages) if message["role"] == "user"), "")


def _decoded(value: Any) -> Any:
    """PostgreSQL hands JSON over read, SQLite as text."""
    return json.loads(value) if isinstance(value, str) else value


def _normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _read(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "manifest.json").read_text(encoding="utf-8")))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def main(arguments: list[str]) -> int:
    """Print what was looked at and every fault."""
    found = check(Path(arguments[0]), all_claimed="--waiting-allowed" not in arguments)
    sys.stdout.write("\n".join([*(f"{name}: {n}" for name, n in found.counts.items()), *found.faults]) + "\n")
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
