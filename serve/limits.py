"""Everything the ingress bounds, and the gate that turns the one too many away."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from serve.errors import busy


@dataclass(frozen=True)
class IngressLimits:
    """Bytes, tokens, seconds and counts over which a client gets 408, 413, 422, 429 or 503."""

    chat_body_bytes: int = 2 * 1024**2
    import_body_bytes: int = 64 * 1024**2
    import_conversations: int = 10_000
    body_seconds: float = 60.0
    messages: int = 500
    default_reply_tokens: int = 512
    reply_tokens: int = 4096
    running_chats: int = 64
    event_streams: int = 16
    capture_seconds: float = 2.0
    store_seconds: float = 10.0
    first_token_seconds: float = 300.0
    next_token_seconds: float = 60.0
    reply_seconds: float = 900.0


class Gate:
    """Lets a fixed number in at once; the next is answered 429 at once instead of waiting."""

    def __init__(self, what: str, places: int) -> None:
        self.what, self.places, self.taken = what, places, 0

    @contextmanager
    def place(self) -> Iterator[None]:
        if self.taken >= self.places:
            raise busy(429, f"Expected at most {self.places} {self.what} at once, found one more", "too_many_requests")
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1
