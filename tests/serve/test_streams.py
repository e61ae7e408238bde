import pytest

from serve.streams import wants_events


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", False),
        ("*/*", False),
        ("text/event-stream", True),
        ("Text/Event-Stream; charset=utf-8", True),
        ("text/event-stream;q=0", False),
        ("text/event-stream;q=many", False),
        ("text/event-stream, application/json", True),
        ("application/json, text/event-stream", False),
        ("application/json;q=0.5, text/event-stream", True),
        ("application/json, text/event-stream;q=0.9", False),
        ("text/html, text/event-stream;q=0.2", True),
    ],
)
def test_the_stream_is_chosen_by_what_the_client_prefers(accept: str, wanted: bool) -> None:
    assert wants_events(accept) is wanted
