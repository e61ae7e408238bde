"""What a person says of a reply."""

from typing import Literal, Self

from pydantic import Field, model_validator

from core.domain import Domain, Identifier, Text


class Feedback(Domain):
    """A rating or a thumb, a comment, a corrected reply: at least one of them, never rating and thumb."""

    conversation_id: Identifier
    rating: int | None = Field(default=None, ge=1, le=5)
    thumb: Literal[-1, 1] | None = None
    comment: Text | None = Field(default=None, max_length=10_000)
    corrected_reply: Text | None = None

    @model_validator(mode="after")
    def _says_something_once(self) -> Self:
        if self.rating is not None and self.thumb is not None:
            raise ValueError("Expected rating or thumb, found both: send one")
        if all(value is None for value in (self.rating, self.thumb, self.comment, self.corrected_reply)):
            raise ValueError("Expected rating, thumb, comment or corrected_reply, found none of them")
        return self

    @property
    def positive(self) -> bool:
        return (self.rating or 0) >= 4 or self.thumb == 1


class FeedbackSaved(Domain):
    """`eligible` and `reason` of the conversation afterwards; `corrected_id` names the corrected conversation."""

    id: int
    conversation_id: str
    eligible: bool
    reason: str | None = None
    corrected_id: str | None = None
