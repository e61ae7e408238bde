"""What the Serve proxy must not believe of a client; named in RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH by the root."""

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from serve.unreadable import answer_unreadable

# With these a client could outlive every timeout, or keep the engine busy after it has left.
_REFUSED = frozenset({b"x-request-disconnect-disabled", b"x-request-timeout-seconds"})


class StripServeHeaders:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            kept = [(name, value) for name, value in scope["headers"] if name.lower() not in _REFUSED]
            scope = {**scope, "headers": kept}
        await self.app(scope, receive, send)


def middlewares() -> list[Middleware]:
    """Called by the proxy when it starts."""
    answer_unreadable()
    return [Middleware(StripServeHeaders)]
