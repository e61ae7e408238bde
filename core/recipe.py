"""How a version is trained: every number that changes the result."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from core.canonical import fingerprint_of
from core.domain import Domain

Method = Literal["lora", "qlora", "full", "dpo", "kto"]
# they learn from what people preferred, after the LoRA they begin with
PREFERENCE_METHODS: tuple[Method, ...] = ("dpo", "kto")
StartFrom = Literal["base", "champion"]
Schedule = Literal["cosine", "constant"]

ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
SHORTEST_ROW = 64
RateFactor = Annotated[float, Field(gt=0.0, le=100.0, allow_inf_nan=False)]
LayerName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,128}$")]


class Recipe(Domain):
    """Of dpo and kto all but the preferences is of the training before them, which is that of lora."""

    method: Method = Field(
        default="lora",
        description="What is trained: lora (an adapter), qlora (an adapter on a base that is held in 4 bits), full (a "
        "whole model, which is put in use by hand with BASE_MODEL), dpo or kto (an adapter, then what people corrected "
        "or rated)",
    )
    rank: int = Field(default=16, ge=1, le=64, description="Rank of the LoRA adapter")
    alpha: int = Field(default=32, ge=1, le=1024, description="Scale of the LoRA adapter, usually twice the rank")
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0, description="Dropout inside the adapter")
    targets: tuple[LayerName, ...] = Field(
        default=ALL_LINEAR, min_length=1, max_length=64, description="Linear layers that the adapter changes"
    )
    learning_rate: float = Field(default=1e-3, gt=0.0, le=1.0, allow_inf_nan=False, description="Peak learning rate")
    epochs: int = Field(default=2, ge=1, le=20, description="Passes over the dataset")
    pack_tokens: int = Field(default=512, ge=16, description="Tokens of one packed row")
    tokens_per_step: int = Field(default=1024, ge=16, description="Tokens of one optimiser step, in packed rows")
    warmup_share: float = Field(default=0.05, ge=0.0, lt=1.0, description="Share of the steps that warm up")
    schedule: Schedule = Field(default="cosine", description="How the rate falls after the warm-up: cosine or constant")
    weight_decay: float = Field(default=0.0, ge=0.0, le=1.0, description="Weight decay of AdamW")
    gradient_clip: float = Field(default=1.0, gt=0.0, allow_inf_nan=False, description="Longest gradient of a step")
    seed: int = Field(default=20260101, ge=0, description="Seed of shuffling and initial weights")
    max_length: int = Field(
        default=512, ge=16, description="Conversations longer than this many tokens are not trained on"
    )
    replay_share: float = Field(
        default=0.2, ge=0.0, lt=1.0, description="Share of general conversations mixed in against forgetting"
    )
    start_from: StartFrom = Field(default="base", description="What an adapter starts from: base or champion")
    patience: int = Field(
        default=0,
        ge=0,
        le=20,
        description="Epochs without a better validation loss after which training stops, and takes the best weights; "
        "0: it trains to the end",
    )
    rate_factors: tuple[RateFactor, ...] = Field(
        default=(),
        max_length=8,
        description="Multiples of the learning rate that are tried on a part of the conversations first; the one with "
        "the least validation loss is trained with",
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="Compute activations twice instead of keeping them, for less memory and about a third more time, "
        "to the same result; false: only once memory ran out",
    )
    preference_rate: float = Field(
        default=1e-5, gt=0.0, le=1.0, allow_inf_nan=False, description="Peak learning rate on preferences (dpo, kto)"
    )
    preference_beta: float = Field(
        default=0.1, gt=0.0, le=10.0, description="How strongly preferences hold to the adapter before them (dpo, kto)"
    )
    preference_epochs: int = Field(default=1, ge=1, le=20, description="Passes over the preferences (dpo, kto)")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.method == "full" and self.start_from == "champion":
            raise ValueError("Expected start_from base where the method is full, found champion: it is an adapter")
        return self

    @property
    def makes_adapter(self) -> bool:
        """Whether an adapter comes of it, and no model of its own."""
        return self.method != "full"

    def row_tokens(self, halvings: int) -> int:
        """Length of a packed row after so many attempts that ran out of memory; it never falls below the shortest."""
        return min(self.pack_tokens, max(SHORTEST_ROW, self.pack_tokens >> halvings))

    def fingerprint(self) -> str:
        """Equal for equal recipes, different when any number differs."""
        return fingerprint_of(self.model_dump(mode="json"))
