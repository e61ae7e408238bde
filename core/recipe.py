"""How an adapter is trained: every number that changes the result."""

from typing import Literal

from pydantic import Field

from core.canonical import fingerprint_of
from core.domain import Domain

StartFrom = Literal["base", "champion"]
Schedule = Literal["cosine", "constant"]

ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class Recipe(Domain):
    rank: int = Field(default=16, ge=1, le=64)
    alpha: int = Field(default=32, ge=1, le=1024)
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    targets: tuple[str, ...] = Field(default=ALL_LINEAR, min_length=1)
    learning_rate: float = Field(default=1e-3, gt=0.0, le=1.0, allow_inf_nan=False)
    epochs: int = Field(default=2, ge=1, le=20)
    pack_tokens: int = Field(default=512, ge=16)
    tokens_per_step: int = Field(default=1024, ge=16)
    warmup_share: float = Field(default=0.05, ge=0.0, lt=1.0)
    schedule: Schedule = "cosine"
    weight_decay: float = Field(default=0.0, ge=0.0, le=1.0)
    gradient_clip: float = Field(default=1.0, gt=0.0, allow_inf_nan=False)
    seed: int = Field(default=20260101, ge=0)
    max_length: int = Field(default=512, ge=16)
    replay_share: float = Field(default=0.2, ge=0.0, lt=1.0)
    start_from: StartFrom = "base"

    def fingerprint(self) -> str:
        """Equal for equal recipes, different when any number differs."""
        return fingerprint_of(self.model_dump(mode="json"))
