"""Bodies and queries of the routes of uploaded datasets."""

import json
import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StrictBool, StringConstraints, model_validator

from core.conversation import Provenance
from core.domain import Identifier, check_text
from core.formats import Columns, ExportFormat
from core.strict_json import JsonRefused, parse_strict
from serve.schema import Closed, Paged

Format = Literal["auto", "messages", "sharegpt", "alpaca", "prompt_completion"]
Kind = Literal["training", "golden"]
Status = Literal["uploaded", "validated", "invalid", "preprocessed", "deleted"]
Tag = Annotated[str, StringConstraints(pattern=r"^[\w-]{1,50}$")]
Tags = Annotated[list[Tag], Field(max_length=50)]

Check = Literal["rules", "personal_data", "duplicates", "tokens"]
USUAL_CHECKS: tuple[Check, ...] = ("rules", "personal_data", "duplicates")
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]

MOST_METADATA = 20_000
EXTENSIONS = ("jsonl", "json", "csv", "parquet")


def _split(value: Any) -> Any:
    """`a,b` as people write it in a form or a query; a JSON list is taken too."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return _from_json(value)
    return [part.strip() for part in value.split(",") if part.strip()]


def _from_json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse_strict(value)
    except JsonRefused as refused:
        raise ValueError(f"expected JSON, found {refused.found} at column {refused.column}") from None


def _small(value: Any) -> Any:
    """Metadata is a label, not a second dataset; what no database can hold is refused here."""
    said = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if len(said) > MOST_METADATA:
        raise ValueError(f"expected at most {MOST_METADATA} characters of JSON, found {len(said)}")
    check_text(said)
    if re.search(r"\\u0000", said):
        raise ValueError("expected text without NUL, found one")
    return value


Metadata = Annotated[dict[str, Any], BeforeValidator(_small), BeforeValidator(_from_json)]


class UploadParts(Closed):
    """The texts beside the file in `POST /api/v1/admin/training/datasets`."""

    name: Identifier
    version: Annotated[str, StringConstraints(pattern=r"^[A-Za-z._-]*[0-9][A-Za-z0-9._-]*$", max_length=64)]
    format: Format = "auto"
    kind: Kind = "training"
    skip_invalid: bool = False
    tags: Annotated[Tags, BeforeValidator(_split)] = Field(default_factory=list)
    dataset_metadata: Metadata = Field(default_factory=dict)
    mapping: Annotated[Columns, BeforeValidator(_from_json)] = Columns()


class DatasetPatch(Closed):
    """`PATCH /api/v1/admin/training/datasets/{id}`; `validated` and `invalid` are for the checks to say."""

    name: Identifier | None = None
    tags: Tags | None = None
    dataset_metadata: Annotated[dict[str, Any], BeforeValidator(_small)] | None = None
    status: Literal["uploaded", "invalid"] | None = None


class DatasetsQuery(Paged):
    """`GET /api/v1/admin/training/datasets`."""

    status: Status | None = None
    search: Identifier | None = None
    tags: Annotated[str, Field(max_length=3000)] | None = None
    kind: Kind | None = None


class StatisticsQuery(Closed):
    """`GET …/{id}/statistics`."""

    count_tokens: bool = False


class ValidateBody(Closed):
    """`POST …/{id}/validate`; without `checks` all but the tokens, which need the base model's tokenizer."""

    checks: Annotated[list[Check], Field(min_length=1)] | None = None


class FindingsQuery(Paged):
    """`GET …/{id}/findings`."""

    log: int | None = Field(default=None, ge=1, lt=2**63)
    rule: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")] | None = None
    severity: Literal["error", "warning"] | None = None


class PreprocessQuery(Closed):
    """`POST …/{id}/preprocess`."""

    output_format: ExportFormat = "alpaca"
    validate_: bool = Field(default=True, alias="validate")
    skip_invalid: bool = False


class DownloadQuery(Closed):
    """`GET …/{id}/download`: a format that was written, or a part of a split."""

    output_format: ExportFormat = "alpaca"
    part: Literal["train", "validation", "test"] | None = None
    config: bool = False


class SplitBody(Closed):
    """`POST …/{id}/split`: shares that sum to 1, give or take a hundredth."""

    train: Share = 0.8
    validation: Share = 0.1
    test: Share = 0.1

    @model_validator(mode="after")
    def _is_a_whole(self) -> Self:
        whole = self.train + self.validation + self.test
        if not 0.99 <= whole <= 1.01:
            raise ValueError(f"Expected shares that sum to 1, found {whole:g}")
        return self


class IngestBody(Closed):
    """`POST …/{id}/ingest`: who wrote the replies."""

    provenance: Provenance
    skip_invalid: StrictBool = False
