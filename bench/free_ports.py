"""Ports that nobody uses, so that a bench runs beside a stack that is up."""

import socket
from contextlib import ExitStack


def free_ports(n: int) -> list[int]:
    """Ports of the loopback that were free a moment ago, all different."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(n)]
        return [taken.getsockname()[1] for taken in sockets]
