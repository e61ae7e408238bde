"""The outermost layer: keys, the answer to every exception, and a count of every request."""

import time

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.auth import Keys
from serve.errors import api_error
from serve.hang_up import ClientLeft
from serve.metrics import Metrics

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Edge:
    def __init__(self, app: ASGIApp, keys: Keys, metrics: Metrics) -> None:
        self.app, self.keys, self.metrics = app, keys, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status, inner = time.monotonic(), 0, _as_get(scope) if scope["method"] == "HEAD" else scope

        async def noting(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            bodiless = inner is not scope and message["type"] == "http.response.body"
            await send({**message, "body": b""} if bodiless else message)

        try:
            inner["caller"] = self._caller(scope)
            await self.app(inner, receive, noting)
        except ClientLeft:
            pass  # counted as 499
        except Exception as error:  # noqa: BLE001 (the HTTP edge: every exception gets its answer from one table)
            answer = api_error(error)
            if not status:
                await answer.response()(scope, receive, noting)
        finally:
            self._count(scope["method"], inner, status, time.monotonic() - started)

    def _caller(self, scope: Scope) -> str:
        headers = Headers(scope=scope)
        return self.keys.check(scope["path"], headers.get("authorization"), headers.get("host"), headers.get("origin"))

    def _count(self, method: str, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        # 499 as nginx has it: the client left before there was an answer
        known = method if method in _METHODS else "OTHER"
        self.metrics.requests.labels(known, route, str(status or 499)).inc()
        self.metrics.request_seconds.labels(route).observe(seconds)


def _as_get(scope: Scope) -> Scope:
    """HEAD answers as GET does, without the body; never a stream, which would have no end."""
    kept = [(name, value) for name, value in scope["headers"] if name != b"accept"]
    return {**scope, "method": "GET", "headers": kept}
