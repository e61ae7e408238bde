"""What a finished folder says of itself. It is written last: a folder without one does not exist."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from core.canonical import canonical_json, fingerprint_of
from core.domain import Domain

MANIFEST_NAME = "manifest.json"

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
Kind = Literal["adapter", "model", "dataset", "checkpoint"]


class Manifest(Domain):
    format: Literal[1] = 1
    kind: Kind
    version: int = Field(ge=1)
    files: dict[FileName, Sha256] = Field(min_length=1)
    base_fingerprint: str = Field(min_length=1)
    dataset_hash: str | None = None
    recipe: dict[str, Any] = Field(default_factory=dict)
    seed: int | None = None
    library_versions: dict[str, str] = Field(default_factory=dict)
    parent: int | None = None
    counts: dict[str, int] = Field(default_factory=dict)
    details: dict[str, str] = Field(default_factory=dict)

    def to_json(self) -> str:
        """Canonical JSON: the same manifest is always the same bytes."""
        return canonical_json(self.model_dump(mode="json"))

    @classmethod
    def from_json(cls, text: str | bytes) -> "Manifest":
        """Read a manifest; a ValueError (pydantic) names every wrong field."""
        return cls.model_validate_json(text)

    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON: the data version of the folder."""
        return fingerprint_of(self.model_dump(mode="json"))
