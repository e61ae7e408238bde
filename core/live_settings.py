"""Settings that can be changed while the loop runs; they count from the next tick."""

import re
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from core.domain import Domain
from core.recipe import Method, Recipe, StartFrom

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII | re.IGNORECASE)

AnswerWith = Literal["student", "teacher", "auto"]


class LiveSettings(Domain):
    # strict: true must not pass as batch size 1, nor "50" as 50
    model_config = ConfigDict(strict=True)

    finetune_enabled: bool = Field(default=True, description="Whether anything is trained at all")
    finetune_auto_trigger: bool = Field(default=True, description="Whether a full batch starts a run by itself")
    conversation_collection_enabled: bool = Field(default=True, description="Whether served conversations are kept")
    finetune_batch_size: int = Field(default=50, ge=1, le=100_000, description="Eligible conversations that make a run")
    finetune_epochs: int = Field(default=2, ge=1, le=20, description="Passes over the dataset")
    finetune_min_interval_seconds: int = Field(
        default=0, ge=0, le=31_536_000, description="Least time between two automatic runs"
    )
    finetune_method: Method = Field(default="lora", description=Recipe.model_fields["method"].description)
    start_from: StartFrom = Field(default="base", description="What an adapter starts from")
    answer_with: AnswerWith = Field(default="student", description="Who answers: local model, teacher, or either")
    finetune_webhook_url: SecretStr | None = Field(default=None, description="Where events are sent; write-only")

    @field_validator("finetune_webhook_url")
    @classmethod
    def _is_http(cls, url: SecretStr | None) -> SecretStr | None:
        if url is None or not url.get_secret_value():
            return None
        if not _is_web_address(url.get_secret_value()):
            expected = "an http or https address with a valid host, without spaces, of at most 2048 characters"
            raise ValueError(f"Expected {expected} for finetune_webhook_url")
        return url

    @model_validator(mode="after")
    def _makes_a_recipe(self) -> "LiveSettings":
        Recipe(method=self.finetune_method, start_from=self.start_from)
        return self

    def changed(self, partial: Mapping[str, Any]) -> "LiveSettings":
        """These settings with some replaced; a ValueError names each unknown key and each value out of range."""
        return LiveSettings.model_validate({**self.stored(), **partial})

    def stored(self) -> dict[str, Any]:
        """Everything, the webhook address in the clear: for the store only."""
        url = self.finetune_webhook_url
        return {**self.model_dump(), "finetune_webhook_url": url.get_secret_value() if url else None}

    def public(self) -> dict[str, Any]:
        """Everything a person may read: of the webhook only whether it is set."""
        return {
            **self.model_dump(exclude={"finetune_webhook_url"}),
            "finetune_webhook_set": bool(self.finetune_webhook_url),
        }


def _is_web_address(url: str) -> bool:
    if len(url) > 2048 or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:  # a port that is none, or half an IPv6 address
        return False
    return parts.scheme in {"http", "https"} and port != 0 and (":" in host or _is_host_name(host))


def _is_host_name(host: str) -> bool:
    """Labels of 1 to 63 letters, digits, - and _; one in another script counts as it is sent."""
    try:
        name = host.encode("idna").decode("ascii") if not host.isascii() else host
    except UnicodeError:
        return False
    return len(name) <= 253 and all(_LABEL.fullmatch(label) for label in name.removesuffix(".").split("."))
