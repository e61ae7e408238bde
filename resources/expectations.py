"""Great Expectations over a dataset: numbers and categories, no text, in a context that is gone afterwards."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from core.eligibility import ADMITTED
from core.manifest import Manifest
from core.sides import SIDES
from resources.dataset_statistics import connect

Severity = Literal["critical", "warning"]

LANGUAGES = ("ko", "en", "other")
_FRAME = """
SELECT
    hash(id) AS number, side, provenance, language, tokens, turns, question_characters, reply_characters, quality,
    CAST(side = 'held_out' AS INTEGER) AS held_out
FROM dataset
"""
_COLUMNS = [
    "number", "side", "provenance", "language", "tokens", "turns", "question_characters", "reply_characters", "quality",
    "held_out",
]  # fmt: skip
_CATEGORIES = ("side", "provenance", "language")


class Expectation(NamedTuple):
    """What is expected; `kind` is the class in Great Expectations, without its `Expect`."""

    name: str
    says: str
    severity: Severity
    kind: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What was found of one expectation: numbers only."""

    name: str
    says: str
    severity: Severity
    passed: bool
    found: dict[str, float]


def expectations(rows: int = 0, max_tokens: int | None = None) -> tuple[Expectation, ...]:
    """The suite; its names are the same for every dataset."""

    def column(kind: str, name: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
        return f"ColumnValuesTo{kind}", {"column": name, **arguments}

    critical: dict[str, tuple[str, tuple[str, dict[str, Any]]]] = {
        "columns_are_complete": (
            "Exactly the columns a dataset has",
            ("TableColumnsToMatchSet", {"column_set": _COLUMNS, "exact_match": True}),
        ),
        "as_many_as_counted": (
            "As many conversations as the manifest counts",
            ("TableRowCountToEqual", {"value": rows}),
        ),
        "each_conversation_once": ("No id occurs twice", column("BeUnique", "number")),
        "sides_are_known": ("On one of three sides", column("BeInSet", "side", value_set=list(SIDES))),
        "provenances_are_admitted": (
            "Written by somebody whose words count",
            column("BeInSet", "provenance", value_set=sorted(ADMITTED)),
        ),
        "languages_are_known": ("Korean, English or other", column("BeInSet", "language", value_set=list(LANGUAGES))),
        "tokens_are_within_the_limit": (
            "No longer than the model is trained on",
            column("BeBetween", "tokens", min_value=1, max_value=max_tokens),
        ),
        "every_question_has_text": (
            "Every last question has text",
            column("BeBetween", "question_characters", min_value=1),
        ),
        "every_reply_has_text": ("Every reply has text", column("BeBetween", "reply_characters", min_value=1)),
        "somebody_asks": ("The user speaks at least once", column("BeBetween", "turns", min_value=1)),
        "quality_is_a_share": ("Quality lies in 0 to 1", column("BeBetween", "quality", min_value=0, max_value=1)),
    }
    warning: dict[str, tuple[str, tuple[str, dict[str, Any]]]] = {
        "quality_is_known": ("Nearly every conversation has a quality", column("NotBeNull", "quality", mostly=0.95)),
        "quality_is_fair_on_average": (
            "The mean quality is at least 0.3",
            ("ColumnMeanToBeBetween", {"column": "quality", "min_value": 0.3}),
        ),
        "held_out_share_is_usual": (
            "Between 3 and 45 % are held out",
            ("ColumnMeanToBeBetween", {"column": "held_out", "min_value": 0.03, "max_value": 0.45}),
        ),
    }
    return _named("critical", critical) + _named("warning", warning)


def _named(severity: Severity, group: dict[str, tuple[str, tuple[str, dict[str, Any]]]]) -> tuple[Expectation, ...]:
    return tuple(
        Expectation(name, says, severity, kind, arguments) for name, (says, (kind, arguments)) in group.items()
    )


def run(folder: Path, manifest: Manifest, max_tokens: int | None = None) -> list[Outcome]:
    """Every expectation's outcome, in the order of `expectations`."""
    rows = sum(manifest.counts.get(side, 0) for side in SIDES)
    suite = expectations(rows, max_tokens)
    results = _validated(_frame(folder), suite)
    return [_outcome(one, results[one.name]) for one in suite]


def _frame(folder: Path) -> Any:
    with connect(folder) as connection:
        frame = connection.execute(_FRAME).df()
    for name in _CATEGORIES:
        frame[name] = frame[name].astype("category")
    return frame


def _validated(frame: Any, suite: tuple[Expectation, ...]) -> dict[str, Any]:
    """Result by the name of its expectation."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    named = [
        getattr(gx.expectations, f"Expect{one.kind}")(**one.arguments, severity=one.severity, meta={"check": one.name})
        for one in suite
    ]
    held = context.suites.add(gx.ExpectationSuite(name="dataset", expectations=named))
    asset = context.data_sources.add_pandas("memory").add_dataframe_asset(name="dataset")
    batch = asset.add_batch_definition_whole_dataframe("all")
    validation = gx.ValidationDefinition(name="dataset", data=batch, suite=held)
    # SUMMARY and no more: COMPLETE would copy every offending value
    result = context.validation_definitions.add(validation).run(
        batch_parameters={"dataframe": frame}, result_format="SUMMARY"
    )
    return {one.expectation_config.meta["check"]: one for one in result.results}


def _outcome(expectation: Expectation, result: Any) -> Outcome:
    kept = ("element_count", "unexpected_count", "unexpected_percent", "observed_value")
    found = {
        name: round(float(value), 4)
        for name in kept
        if isinstance(value := result.result.get(name), int | float) and not isinstance(value, bool)
    }
    return Outcome(expectation.name, expectation.says, expectation.severity, bool(result.success), found)
