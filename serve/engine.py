"""The engine: immutable adapters over one base, each servable only after it was verified, loaded and asked."""

from collections.abc import AsyncGenerator
from typing import Any

from serve.engine_client import Body, Item


class Engine:
    """Implements EngineClient; one Serve replica holds one. Plain class: no Ray, no vLLM at import."""

    async def chat(self, body: Body) -> AsyncGenerator[Item, None]:
        raise NotImplementedError
        yield {}

    async def ensure(self, name: str, pinned: list[str]) -> dict[str, Any]:
        raise NotImplementedError

    async def loaded(self) -> list[str]:
        raise NotImplementedError

    async def ready(self) -> dict[str, Any]:
        raise NotImplementedError
