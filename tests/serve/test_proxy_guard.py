"""Headers by which a client could turn off Serve's timeout and cancellation are dropped."""

import pytest
from starlette.types import Receive, Scope, Send

from serve.proxy_guard import middlewares

pytestmark = pytest.mark.anyio


async def test_serves_own_headers_are_not_believed() -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    (guard,) = middlewares()
    headers = [(b"host", b"x"), (b"X-Request-Disconnect-Disabled", b"?1"), (b"x-request-timeout-seconds", b"9")]
    await guard.cls(app)({"type": "http", "headers": headers}, None, None)  # type: ignore[arg-type]
    await guard.cls(app)({"type": "lifespan"}, None, None)  # type: ignore[arg-type]

    assert seen == [{"type": "http", "headers": [(b"host", b"x")]}, {"type": "lifespan"}]
