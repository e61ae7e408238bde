"""The ingress listens by itself: HTTP comes straight into the process that answers, where one machine is all there is.

Serve's proxy is a process of its own, which hands every request on through Ray and is handed every piece of the answer
back; on a cluster it finds the replicas, on one machine it only costs.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.types import ASGIApp

from serve.unreadable import answer_unreadable

if TYPE_CHECKING:
    import uvicorn

_BACKLOG = 2048
_MOST_CONNECTIONS = 4096
_KEEP_ALIVE_SECONDS = 90


@dataclass(frozen=True)
class Listener:
    """Where the ingress listens by itself, and the seconds that what is begun may take at its end."""

    host: str
    port: int
    seconds: float

    @asynccontextmanager
    async def listening(self, app: ASGIApp) -> AsyncIterator[None]:
        """Lets requests in; at its end nothing new, and what is begun is answered first. OSError: the port is taken."""
        import uvicorn

        listening = _listen(self.host, self.port)
        answer_unreadable()
        server = uvicorn.Server(_config(app, self.seconds))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield
        finally:
            server.should_exit = True
            with suppress(asyncio.CancelledError):
                await serving
            listening.close()


def _config(app: ASGIApp, seconds: float) -> "uvicorn.Config":
    import uvicorn

    from serve.bounded_head import BoundedHead

    return uvicorn.Config(
        app,
        http=BoundedHead,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # nobody here asks for a client's address, and anybody could make one up
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, round(seconds)),
        backlog=_BACKLOG,
        limit_concurrency=_MOST_CONNECTIONS,
    )


def _listen(host: str, port: int) -> socket.socket:
    """A port that an ingress before us left behind may be taken at once; one that somebody listens on may not."""
    known = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # a name such as localhost may stand for both kinds of address, and the other parts of the stack use the older one
    family, kind, _, _, address = min(known, key=lambda each: each[0] != socket.AF_INET)
    listening = socket.socket(family, kind)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)  # who comes before the server has begun waits, and is not refused
    except OSError:
        listening.close()
        raise
    return listening
