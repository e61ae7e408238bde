"""Everything the ingress bounds, and the gate that turns the one too many away."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from resources.settings import Settings
from serve.errors import busy
from serve.guarded import Deadlines


@dataclass(frozen=True)
class IngressLimits:
    """Bytes, tokens, seconds and counts over which a client gets 408, 413, 422 or 503."""

    body_bytes: int = 2**20
    import_bytes: int = 64 * 2**20
    import_conversations: int = 10_000
    body_seconds: float = 60.0
    messages: int = 500
    default_tokens: int = 256
    most_tokens: int = 1024
    running_chats: int = 64
    predictions: int = 16
    imports: int = 2
    uploads: int = 2
    upload_bytes: int = 100 * 2**20
    upload_seconds: float = 600.0
    progress_streams: int = 16
    capture_seconds: float = 2.0
    store_seconds: float = 10.0
    feature_seconds: float = 0.5
    reply_seconds: float = 120.0
    first_token_seconds: float = 120.0
    between_tokens_seconds: float = 60.0

    @property
    def deadlines(self) -> Deadlines:
        """Of one chat."""
        return Deadlines(self.reply_seconds, self.first_token_seconds, self.between_tokens_seconds)

    @classmethod
    def of(cls, settings: Settings) -> "IngressLimits":
        """The bounds a person can set; the others are fixed."""
        return cls(
            body_bytes=settings.max_body_bytes,
            import_bytes=settings.max_import_bytes,
            upload_bytes=settings.max_upload_bytes,
            default_tokens=settings.default_max_tokens,
            most_tokens=settings.max_tokens_limit,
            running_chats=settings.max_concurrent_requests,
            feature_seconds=settings.feature_timeout_seconds,
            reply_seconds=settings.request_timeout_seconds,
            first_token_seconds=settings.first_token_timeout_seconds,
            between_tokens_seconds=settings.between_tokens_timeout_seconds,
        )


class Gate:
    """Lets a fixed number in at once; the next is answered 503 at once instead of waiting."""

    def __init__(self, what: str, places: int) -> None:
        self.what, self.places, self.taken = what, places, 0

    @contextmanager
    def place(self) -> Iterator[None]:
        if self.taken >= self.places:
            raise busy(f"Expected at most {self.places} {self.what} at once, found one more", "overloaded")
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1
