"""The agent in its own process; kept apart from the other replicas, as what they import is not its own."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from resources.settings import Settings
from serve.agent import AgentOptions, AgentService
from serve.engine_team import client_of
from serve.logs import configure_logs


class AgentReplica:
    """It starts whatever its graph is like: nothing is loaded before it is asked."""

    def __init__(self, engine: Any, settings: Settings) -> None:
        configure_logs(settings.log_level)
        self._service = AgentService(client_of(engine), AgentOptions.of(settings))

    async def run(self, question: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        async with aclosing(self._service.run(question)) as items:
            async for item in items:
                yield item

    async def __del__(self) -> None:
        await self._service.close()
