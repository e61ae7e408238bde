"""What an upstream says is believed in its form only after a look."""

import json
from typing import Any

import pytest

from serve.errors import ApiError
from serve.upstream_answer import check_head, chunk_of

NONSENSE: list[Any] = [
    ["x"],
    "x",
    {},
    [],
    None,
    [{"message": "x"}],
    [{"message": {"content": 5}}],
    [{"message": {"content": ["x"]}}],
]


@pytest.mark.parametrize("choices", NONSENSE)
def test_a_reply_without_choices_that_are_some_is_a_bad_gateway(choices: Any) -> None:
    with pytest.raises(ApiError) as refused:
        check_head({"status": 200, "json": {"choices": choices}})
    assert (refused.value.status, refused.value.code) == (502, "upstream_failed")


def test_a_whole_reply_and_the_promise_of_a_stream_are_taken() -> None:
    whole = {"choices": [{"index": 0, "message": {"role": "assistant", "content": None}}]}
    assert check_head({"status": 200, "json": whole}) == whole
    assert check_head({"status": 200}) == {}


@pytest.mark.parametrize("choices", [["x"], "x", [{"delta": "x"}], [{"delta": {"content": 5}}]])
def test_a_chunk_that_is_none_ends_the_stream(choices: Any) -> None:
    with pytest.raises(ValueError, match="choices"):
        chunk_of(json.dumps({"choices": choices}))


@pytest.mark.parametrize("choices", [[], [{"delta": {}}], [{"delta": {"content": "가"}}], [{"delta": None}]])
def test_a_chunk_may_say_nothing(choices: Any) -> None:
    assert chunk_of(json.dumps({"choices": choices})) == {"choices": choices}
