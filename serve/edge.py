"""The outermost layer: keys, the answer to every exception, and a count of every request."""

import time

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.auth import Keys
from serve.errors import api_error
from serve.metrics import Metrics

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Edge:
    def __init__(self, app: ASGIApp, keys: Keys, metrics: Metrics) -> None:
        self.app, self.keys, self.metrics = app, keys, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.monotonic(), 0

        async def noting(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            self._check_key(scope)
            await self.app(scope, receive, noting)
        except Exception as error:  # noqa: BLE001 (the HTTP edge: every exception gets its answer from one table)
            answer = api_error(error)
            if not status:
                await answer.response()(scope, receive, noting)
        finally:
            self._count(scope, status, time.monotonic() - started)

    def _check_key(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        self.keys.check(scope["path"], headers.get("authorization"), headers.get("host"), headers.get("origin"))

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        # 499 as nginx has it: the client left before there was an answer
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        self.metrics.requests.labels(method, route, str(status or 499)).inc()
        self.metrics.request_seconds.labels(route).observe(seconds)
