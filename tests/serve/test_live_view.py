"""The looking at the live settings goes on whatever one look comes to."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from core.live_settings import LiveSettings
from serve.live_view import LiveView
from serve.store_door import StoreDoor

CHANGED = LiveSettings(finetune_batch_size=7)


class DoorDouble:
    """Fails once, then answers."""

    def __init__(self) -> None:
        self.errors: list[Exception] = [ValueError("a row that holds hunter2")]

    async def ask(self, work: Callable[[Any], Any]) -> LiveSettings:
        if self.errors:
            raise self.errors.pop()
        return CHANGED


def test_an_unexpected_error_neither_ends_the_looking_nor_is_quoted(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        live = LiveView(cast(StoreDoor, DoorDouble()), LiveSettings(), 0.001)
        looking = asyncio.create_task(live.run())
        async with asyncio.timeout(5):
            while live.settings != CHANGED:  # noqa: ASYNC110 (a task that tells nobody)
                await asyncio.sleep(0.001)
        looking.cancel()

    asyncio.run(story())
    assert "ValueError" in caplog.text
    assert "hunter2" not in caplog.text
