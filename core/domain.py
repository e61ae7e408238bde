"""What all domain types share: frozen, closed, and strict about text and time."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

_UNSTORABLE = re.compile("[\\0\ud800-\udfff]")


def check_text(value: object) -> object:
    """Refuse what neither UTF-8 nor PostgreSQL can hold: lone surrogates and NUL."""
    if isinstance(value, str) and (found := _UNSTORABLE.search(value)):
        if found[0] == "\0":
            raise ValueError(f"Expected text without NUL, found one at character {found.start()}: remove it")
        raise ValueError(
            f"Expected valid Unicode, found the lone surrogate U+{ord(found[0]):04X} at character {found.start()}: "
            "send the whole character"
        )
    return value


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("Expected a time of the years 1 to 9999 in UTC, found one beyond") from None


Text = Annotated[str, BeforeValidator(check_text)]
Identifier = Annotated[str, Field(min_length=1, max_length=255), BeforeValidator(check_text)]
UtcTime = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class Domain(BaseModel):
    """What all domain types share: frozen, closed, and silent about their input in errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, ser_json_inf_nan="strings")


Kind = TypeVar("Kind", bound=Domain)


def trusted(kind: type[Kind], fields: dict[str, Any]) -> Kind:
    """Like `model_construct` and much quicker: for all fields of what was validated once and kept by ourselves."""
    made = kind.__new__(kind)
    for name, value in (
        ("__dict__", fields),
        ("__pydantic_fields_set__", set(fields)),
        ("__pydantic_extra__", None),
        ("__pydantic_private__", None),
    ):
        object.__setattr__(made, name, value)
    return made
