"""Work for a client ends when the client hangs up, also where nothing of the answer was sent yet."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from starlette.requests import Request

Result = TypeVar("Result")


class ClientLeft(Exception):
    """Nobody waits for the answer any more."""


async def while_connected(request: Request, work: Awaitable[Result]) -> Result:
    """What `work` gives; it is cancelled at once when the client leaves, and ClientLeft is raised.

    The body must have been read: what is received after it is nothing but the end of the connection.
    """
    task = asyncio.current_task()
    left = False

    async def watch() -> None:
        nonlocal left
        while (await request.receive())["type"] != "http.disconnect":
            pass
        left = True
        if task:
            task.cancel()

    watching = asyncio.create_task(watch())
    try:
        return await work
    except asyncio.CancelledError:
        if left and task and task.uncancel() == 0:
            raise ClientLeft from None
        raise
    finally:
        watching.cancel()
