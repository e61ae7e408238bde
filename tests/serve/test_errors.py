"""What the log of the ingress says of an error nobody expected."""

import sqlite3

import pytest
from pydantic import BaseModel, ValidationError

from serve.errors import api_error, invalid
from serve.schema import FeedbackBody


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    try:
        raise error from cause
    except type(error) as caught:
        return caught


@pytest.mark.parametrize("error", [sqlite3.IntegrityError("hunter2"), RuntimeError("said: hunter2")])
def test_what_a_database_says_is_not_logged(caplog: pytest.LogCaptureFixture, error: Exception) -> None:
    cause = sqlite3.IntegrityError("hunter2") if isinstance(error, RuntimeError) else None
    assert api_error(raised(error, cause)).status == 500

    assert type(error).__name__ in caplog.text
    assert "in raised" in caplog.text, "where it happened is told"
    assert "hunter2" not in caplog.text


def test_any_other_error_is_logged_whole(caplog: pytest.LogCaptureFixture) -> None:
    api_error(raised(RuntimeError("what went wrong")))

    assert "what went wrong" in caplog.text


def said_of(body: type[BaseModel], **values: object) -> str:
    with pytest.raises(ValidationError) as found:
        body.model_validate(values)
    return invalid(found.value.errors()).message


class Shares(BaseModel):
    train: float


def test_what_is_told_to_a_user_has_no_words_of_the_library() -> None:
    empty = said_of(FeedbackBody, completion_id="chatcmpl-1", corrected_reply="")

    assert empty == "corrected_reply: expected a text of at least 1 character, found a string of 0 characters"
    assert said_of(Shares, train="a") == "train: expected a number, found a string of 1 characters"
