"""The whole application over engines that only say who they are; a cluster's file may name `build`."""

import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from ray import serve

from resources.settings import read_settings
from serve.cluster import application
from serve.engine_client import Body, Item
from serve.vllm_compat import EngineOptions


class LightEngine:
    def __init__(self, options: EngineOptions, state_dir: Path, lineage: str, log_level: str) -> None:
        self._lineage = lineage

    async def chat(self, body: Body) -> AsyncGenerator[Item, None]:
        message = {"role": "assistant", "content": f"process {os.getpid()}"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        yield {"status": 200, "json": {"id": "x", "object": "chat.completion", "created": 1, "choices": [choice]}}

    async def ensure(self, name: str, pinned: list[str]) -> dict[str, Any]:
        return {"loaded": False, "seconds": 0.0}

    async def loaded(self) -> list[str]:
        return []

    async def ready(self) -> dict[str, Any]:
        return {"model": "light", "lineage": self._lineage, "max_model_len": 2048}


def build(arguments: dict[str, Any]) -> serve.Application:
    return application(read_settings(**arguments), 0, LightEngine)
