"""Bodies and queries of the routes: closed, except the OpenAI one, where unknown parameters are left out."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    model_validator,
)

from core.conversation import Provenance
from core.domain import Identifier, Text, UtcTime
from resources.feedback import Feedback

StrictFloat = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Token = Annotated[str, Field(pattern=r"^-?\d{1,9}$")]


def _as_list(value: Any) -> list[Any]:
    """One stop text is a list of one, so that a problem has one name and not one for each form."""
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or len(values) > 4 or not all(isinstance(text, str) for text in values):
        raise ValueError("expected a text or a list of at most 4 texts")
    return values


Stops = Annotated[list[Text], BeforeValidator(_as_list, json_schema_input_type=str | list[str])]


class Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Metadata(BaseModel):
    """What of OpenAI's free metadata means something here."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    conversation_id: Identifier | None = None
    session_id: Identifier | None = None


class ResponseFormat(Closed):
    type: Literal["text", "json_object"]


class StreamOptions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    include_usage: StrictBool | None = None


class Sampling(BaseModel):
    """The parameters handed to the engine: those of OpenAI and the harmless ones of vLLM. All else is left out."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    temperature: StrictFloat | None = Field(default=None, ge=0, le=2)
    top_p: StrictFloat | None = Field(default=None, gt=0, le=1)
    n: StrictInt | None = Field(default=None, ge=1, le=4)
    stop: Stops | None = None
    seed: StrictInt | None = Field(default=None, ge=-(2**63), lt=2**63)
    presence_penalty: StrictFloat | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: StrictFloat | None = Field(default=None, ge=-2, le=2)
    repetition_penalty: StrictFloat | None = Field(default=None, gt=0, le=2)
    logit_bias: Annotated[dict[Token, Annotated[StrictFloat, Field(ge=-100, le=100)]], Field(max_length=300)] | None = (
        None
    )
    logprobs: StrictBool | None = None
    top_logprobs: StrictInt | None = Field(default=None, ge=0, le=20)
    top_k: StrictInt | None = Field(default=None, ge=-1, le=1_000_000)
    min_p: StrictFloat | None = Field(default=None, ge=0, le=1)
    min_tokens: StrictInt | None = Field(default=None, ge=0, le=1_000_000)
    ignore_eos: StrictBool | None = None
    response_format: ResponseFormat | None = None
    stream_options: StreamOptions | None = None

    def parameters(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True, include=set(Sampling.model_fields))


class ChatCompletionBody(Sampling):
    """`POST /v1/chat/completions`; what is not listed is kept aside and goes nowhere."""

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)

    model: Identifier = "production"
    messages: list[Any]
    stream: StrictBool | None = None
    max_tokens: StrictInt | None = Field(default=None, ge=1)
    max_completion_tokens: StrictInt | None = Field(default=None, ge=1)
    user: Identifier | None = None
    store: StrictBool | None = None
    metadata: Metadata | None = None


class ChatBody(Closed):
    """`POST /chat`."""

    message: Text
    user_id: Identifier | None = None
    session_id: Identifier | None = None


class FeedbackBody(Closed):
    """`POST /v1/feedback`; a completion's id and its conversation's are the same."""

    completion_id: Identifier | None = None
    conversation_id: Identifier | None = None
    rating: StrictInt | None = Field(default=None, ge=1, le=5)
    thumb: StrictInt | None = Field(default=None, ge=-1, le=1)
    comment: Text | None = Field(default=None, max_length=10_000)
    corrected_reply: Text | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _names_one_conversation(self) -> Self:
        if (self.completion_id is None) == (self.conversation_id is None):
            raise ValueError("Expected completion_id or conversation_id, one of them")
        return self

    def feedback(self) -> Feedback:
        """As the store takes it; a ValidationError where it says nothing, or rating and thumb at once."""
        said = self.model_dump(exclude={"completion_id", "conversation_id"})
        return Feedback(conversation_id=self.completion_id or self.conversation_id or "", **said)


class FinetuneBody(Closed):
    """`POST /mlops/finetune`."""

    force: StrictBool = False
    backup_existing: StrictBool = False


class WrapperBody(Closed):
    """`POST /predict` and `POST /invoke`."""

    input: Any
    user_id: Identifier | None = None
    session_id: Identifier | None = None


class ImportedFields(Closed):
    """What an item of an import says beside its text, whatever format that is in."""

    provenance: Provenance
    id: Identifier | None = Field(default=None, max_length=200)
    user_id: Identifier | None = None
    session_id: Identifier | None = None
    thread_id: Identifier | None = Field(default=None, max_length=200)
    source: Identifier = "import"
    created_at: UtcTime | None = None


class ImportedConversation(ImportedFields):
    """One item of an import: messages and their reply, or a thread that ends with the assistant's."""

    messages: list[Any] = Field(min_length=1)
    reply: Text | None = None


class Paged(Closed):
    """Pages by number, or by `limit` and `offset`."""

    page: int = Field(default=1, ge=1, le=1_000_000)
    page_size: int = Field(default=50, ge=1, le=200)
    limit: int | None = Field(default=None, ge=1, le=200)
    offset: int | None = Field(default=None, ge=0, le=2**31)

    @model_validator(mode="after")
    def _offset_is_whole_pages(self) -> Self:
        if (self.offset or 0) % (self.limit or self.page_size):
            raise ValueError("Expected offset to be a multiple of limit")
        return self

    def as_page(self) -> tuple[int, int]:
        """Page number from 1, and its size."""
        size = self.limit or self.page_size
        return (self.page if self.offset is None else self.offset // size + 1), size


class ConversationsQuery(Paged):
    """`GET /mlops/conversations`."""

    user_id: Identifier | None = None
    session_id: Identifier | None = None
    source: Identifier | None = None
    eligible: bool | None = None
    version: int | None = Field(default=None, ge=1, lt=2**31)


class DeleteQuery(Closed):
    """`DELETE /mlops/conversations`: a reset, or with `user_id` an erasure, of which no copy is kept."""

    backup: bool | None = None
    user_id: Identifier | None = None

    @model_validator(mode="after")
    def _erases_without_a_copy(self) -> Self:
        if self.user_id is not None and self.backup is not None:
            raise ValueError("Expected no backup together with user_id: a copy of erased data is not an erasure")
        return self


class HistoryQuery(Closed):
    """`GET /mlops/training-history`."""

    limit: int = Field(default=50, ge=1, le=200)
    offset: int = Field(default=0, ge=0, le=2**31)


class EventsQuery(Closed):
    """`GET /mlops/events`."""

    limit: int = Field(default=50, ge=1, le=200)
    offset: int = Field(default=0, ge=0, le=2**31)
    after: int | None = Field(default=None, ge=0, lt=2**63)
    type: Identifier | None = None
