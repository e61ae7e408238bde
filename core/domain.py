"""What all domain types share: frozen, closed, and strict about text and time."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field


def check_text(value: object) -> object:
    """Refuse what neither UTF-8 nor PostgreSQL can hold: lone surrogates and NUL."""
    if isinstance(value, str):
        for index, character in enumerate(value):
            if character == "\0":
                raise ValueError(f"Expected text without NUL, found one at character {index}: remove it")
            if "\ud800" <= character <= "\udfff":
                raise ValueError(
                    f"Expected valid Unicode, found the lone surrogate U+{ord(character):04X} at character {index}: "
                    "send the whole character"
                )
    return value


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


Text = Annotated[str, BeforeValidator(check_text)]
Identifier = Annotated[str, Field(min_length=1, max_length=255), BeforeValidator(check_text)]
UtcTime = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class Domain(BaseModel):
    """What all domain types share: frozen, closed, and silent about their input in errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, ser_json_inf_nan="strings")
