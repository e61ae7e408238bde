"""What is in a dataset in numbers: DuckDB over its files, no text leaves it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from core.drift import Drift, drift
from core.sides import SIDES
from resources.dataset_writer import file_of

CATEGORIES = ("language", "provenance", "source", "turns")
NUMBERS = ("tokens", "turns", "question_characters", "reply_characters", "quality")
# a reply's length falls into one of these, by its upper end
LENGTHS = (10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
MEMORY = "256MB"
SHOWN_CATEGORIES = 20

_VIEW = """
SELECT
    side, id, unit, user_id, source, provenance, language, cluster, version, tokens, turns, quality, created_at,
    length(list_last(list_filter(messages, lambda m: m.role = 'user')).content) AS question_characters,
    length(reply) AS reply_characters,
FROM ({sides})
"""


def connect(folder: Path) -> Any:
    """A DuckDB connection with the view `dataset`: one row a conversation, lengths in place of text."""
    import duckdb

    limits = {"memory_limit": MEMORY, "threads": 2, "temp_directory": gettempdir()}
    connection = duckdb.connect(config={**limits, "preserve_insertion_order": False})
    files = [(side, folder / file_of(side)) for side in SIDES if (folder / file_of(side)).is_file()]
    sides = " UNION ALL BY NAME ".join(
        f"SELECT '{side}' AS side, * FROM read_parquet({_quoted(str(path))})"  # noqa: S608 - names of our own
        for side, path in files
    )
    connection.execute(f"CREATE VIEW dataset AS {_VIEW.format(sides=sides)}")
    return connection


def statistics(folder: Path, n: int, counts: Mapping[str, int]) -> dict[str, Any]:
    """Counts, spreads and drift of the dataset of version `n`; `counts` are those of its manifest."""
    with connect(folder) as connection:
        return {
            "version": n,
            "counts": dict(counts),
            "categories": {name: _category(connection, name) for name in CATEGORIES},
            "numbers": {name: _spread(connection, name) for name in NUMBERS},
            "reply_lengths": _lengths(connection),
            "users": _one(connection, "count(DISTINCT user_id)"),
            "tokens": _one(connection, "coalesce(sum(tokens), 0)"),
            "near_duplicates": _one(connection, "count(cluster) - count(DISTINCT cluster)"),
            "drift": _drift(connection, n),
        }


def _category(connection: Any, name: str, where: str = "true") -> dict[str, int]:
    """How many of each, most first; what comes after the first few is put together."""
    rows = connection.execute(
        f"SELECT coalesce(CAST({name} AS VARCHAR), 'unknown'), count(*) FROM dataset WHERE {where} "  # noqa: S608
        "GROUP BY 1 ORDER BY 2 DESC, 1"
    ).fetchall()
    found = {str(value): int(number) for value, number in rows[:SHOWN_CATEGORIES]}
    rest = sum(number for _, number in rows[SHOWN_CATEGORIES:])
    return {**found, "others": rest} if rest else found


def _spread(connection: Any, name: str) -> dict[str, float]:
    row = connection.execute(
        f"SELECT min({name}), quantile_cont({name}, 0.05), median({name}), avg({name}), "  # noqa: S608
        f"quantile_cont({name}, 0.95), max({name}) FROM dataset"
    ).fetchone()
    names = ("least", "p5", "median", "mean", "p95", "most")
    return {name: round(float(value), 4) for name, value in zip(names, row, strict=True) if value is not None}


def _lengths(connection: Any) -> dict[str, int]:
    """Upper end of each class of reply lengths → how many, empty ones too."""
    found = dict(connection.execute(f"SELECT {_length_class()}, count(*) FROM dataset GROUP BY 1").fetchall())  # noqa: S608
    return {name: int(found.get(name, 0)) for name in [*map(str, LENGTHS), "more"]}


def _length_class() -> str:
    cases = " ".join(f"WHEN reply_characters <= {end} THEN '{end}'" for end in LENGTHS)
    return f"CASE {cases} ELSE 'more' END"


def _drift(connection: Any, n: int) -> dict[str, Any]:
    """What this version brought, against what the version before it brought."""
    before = connection.execute("SELECT max(version) FROM dataset WHERE version < ?", [n]).fetchone()[0]
    if before is None:
        return {}
    buckets = {**{name: name for name in CATEGORIES}, "reply_length": _length_class()}
    compared = {
        name: drift(*(_category(connection, column, f"version = {int(which)}") for which in (n, before)))
        for name, column in buckets.items()
    }
    return {"against": int(before), **{name: shown(found) for name, found in compared.items()}}


def shown(found: Drift) -> dict[str, Any]:
    """As it is kept and drawn."""
    return {
        "psi": found.psi, "divergence": found.divergence, "now": found.now, "before": found.before,
        "large": found.large,
    }  # fmt: skip


def large_drifts(found: Mapping[str, Any]) -> Sequence[str]:
    """Names of what has become another population, of the statistics' `drift`."""
    return [name for name, value in found.items() if isinstance(value, Mapping) and value["large"]]


def _one(connection: Any, what: str) -> int:
    return int(connection.execute(f"SELECT {what} FROM dataset").fetchone()[0])  # noqa: S608


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
