"""Every vLLM symbol we use, in one place, and the one thing about its LoRA slots that must hold."""

import argparse
import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from serve import grouped_lora, quiet_ends
from serve.engine_client import BASE, AdapterNotServed, Body, EngineUnavailable
from serve.folding import FoldedLayer, FoldRefused, Folds

log = logging.getLogger(__name__)

_GROUPED = "grouped"
_SPIN_SECONDS = 0.005  # a message within a millisecond of the one before wakes nobody: who read that one must look
_FOLD_SECONDS = 0.015  # of one piece of a fold, for which every running reply waits
_FOLD_REST = 2.0  # times as long as a piece took, before the next
_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM admits as max_lora_rank


@dataclass(frozen=True)
class EngineOptions:
    """What the engine is started with. On a CPU, `memory_share` is of RAM and only a floor that must be free."""

    model: str
    adapters: int = 3
    lora_rank: int = 16
    max_model_len: int = 2048
    max_num_seqs: int | None = 16
    max_num_batched_tokens: int | None = 512
    memory_share: float = 0.05
    kv_cache_bytes: int | None = 512 * 2**20
    spare_slots: int = 1
    fold: bool = True

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of `AsyncEngineArgs`.

        One slot more than adapters: vLLM's CPU kernels index the slots with -1 for rows without an adapter, so such
        rows are answered with whatever lies in the last slot. It therefore stays empty (`LoraSlots` checks that).
        """
        on_cpu = self.kv_cache_bytes is not None
        return {
            "model": self.model,
            "served_model_name": [BASE],
            "dtype": "bfloat16",
            "enable_lora": True,
            "max_loras": self.adapters + self.spare_slots,
            "max_cpu_loras": self.adapters + self.spare_slots,
            "max_lora_rank": next(rank for rank in _RANKS if rank >= self.lora_rank),
            "max_model_len": self.max_model_len,
            "max_num_seqs": self.max_num_seqs,
            "max_num_batched_tokens": self.max_num_batched_tokens,
            "gpu_memory_utilization": self.memory_share,
            "kv_cache_memory_bytes": self.kv_cache_bytes,
            "enforce_eager": on_cpu,
            "worker_extension_cls": "serve.vllm_compat.LoraSlots",
            "distributed_executor_backend": "serve.resting_executor.RestingExecutor" if on_cpu else None,
            "disable_log_stats": True,
        }


class LoraSlots(Folds):
    """Mixed into vLLM's worker: keeps rows without an adapter safe from every adapter's weights, and an idle core free.

    Only the CPU kernels read the last slot for such rows; elsewhere there is nothing to check.
    """

    def last_lora_slot_is_empty(self) -> bool:
        """True when no adapter's weights are in the last slot, nor left behind there."""
        import torch

        manager, layers = self._slots()
        if manager is None:
            return True
        stacks = [stack for layer in layers for stack in layer.lora_b_stacked]
        return bool(stacks) and manager.lora_index_to_id[-1] is None and not any(torch.any(s[-1]) for s in stacks)

    def empty_last_lora_slot(self) -> None:
        """Wipe what an adapter that should never have been there left behind."""
        manager, layers = self._slots()
        if manager is not None and manager.lora_index_to_id[-1] is None:
            for layer in layers:
                layer.reset_lora(manager.lora_slots - 1)

    def group_lora_rows(self) -> str:
        """Faster LoRA on a CPU, which also keeps rows without an adapter apart; says if it is in use, or why not."""
        if self.device.type != "cpu":  # type: ignore[attr-defined]
            return "not needed: vLLM has kernels for this device"
        manager, _ = self._slots()
        try:
            quiet_ends.install(manager)
            self._foldable = [FoldedLayer(layer) for layer in grouped_lora.install(manager)]
        except Exception as error:  # noqa: BLE001 - a vLLM that changed is served by its own operation
            return f"{type(error).__name__}: {error}"
        return _GROUPED

    def rest_when_idle(self) -> None:
        """Sleep right after the last step: for a second vLLM's worker spins instead, and a trainer needs that core."""
        if self.device.type != "cpu":  # type: ignore[attr-defined]
            return
        sleep_between_messages()

    def _slots(self) -> tuple[Any, list[Any]]:
        if self.device.type != "cpu":  # type: ignore[attr-defined]
            return None, []
        manager = self.model_runner.lora_manager._adapter_manager  # type: ignore[attr-defined]
        return manager, [layer for layer in manager.modules.values() if hasattr(layer, "lora_b_stacked")]


def sleep_between_messages() -> None:
    """In this process, who waits for vLLM's next message sleeps: stock vLLM spins on its core for a second first."""
    from vllm.distributed.device_communicators.shm_broadcast import SpinCondition

    def record_read(condition: Any) -> None:
        condition.last_read = time.monotonic() - condition.busy_loop_s + _SPIN_SECONDS

    SpinCondition.record_read = record_read  # a queue may exist already; its class is what can be reached


class VllmBackend:
    """Implements engine.Backend with vLLM's engine and its own OpenAI serving objects."""

    def __init__(self, llm: Any, chat: Any, models: Any) -> None:
        self._llm, self._chat, self._models = llm, chat, models
        self.max_model_len: int = models.model_config.max_model_len
        self.folded: str | None = None

    @property
    def unfinished(self) -> int:
        return int(self._llm.output_processor.get_num_unfinished_requests())

    async def chat(self, body: Body) -> tuple[dict[str, Any], AsyncGenerator[str, None] | None]:
        from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
        from vllm.exceptions import VLLMClientError
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            answer = await self._chat.create_chat_completion(ChatCompletionRequest(**body))
        except EngineDeadError as error:
            raise EngineUnavailable("the engine died while it answered") from error
        except ValidationError as error:
            answer = self._chat.create_error_response(_first_finding(error))
        except (ValueError, VLLMClientError) as error:
            answer = self._chat.create_error_response(error)
        if hasattr(answer, "__aiter__"):
            return {"status": 200}, answer
        failed = getattr(answer, "error", None)
        return {"status": failed.code if failed else 200, "json": answer.model_dump(mode="json")}, None

    async def add(self, name: str, folder: Path) -> None:
        from vllm.entrypoints.serve.lora.protocol import LoadLoRAAdapterRequest

        request = LoadLoRAAdapterRequest(lora_name=name, lora_path=str(folder))
        answer = await self._models.load_lora_adapter(request)
        if not isinstance(answer, str):
            raise AdapterNotServed(f"{name} refused by vLLM: {answer.error.message}")
        await self.check_slots()

    async def remove(self, name: str) -> None:
        # vLLM's own unload forgets to tell the engine, so both are done here.
        if request := self._models.lora_requests.pop(name, None):
            if self.folded == name:
                await self.unfold()
            await self._llm.remove_lora(request.lora_int_id)

    async def fold(self, name: str) -> None:
        """Fold a loaded adapter piece by piece, in place of the one before. Raises FoldRefused."""
        await self.unfold()
        request, left = self._models.lora_requests.get(name), 1
        while left and request is not None:
            began = time.monotonic()
            said = await self._llm.collective_rpc("fold_some", args=(request.lora_int_id, _FOLD_SECONDS))
            left = max(left for left, _ in said)
            if trouble := next((trouble for _, trouble in said if trouble), ""):
                await self.unfold()
                raise FoldRefused(trouble)
            await asyncio.sleep(_FOLD_REST * (time.monotonic() - began))
        if request is not None and self._models.lora_requests.get(name) is request:
            self.folded = name
        else:
            await self.unfold()

    async def unfold(self) -> None:
        """Every adapter is answered with as before it was folded; at once, and exactly."""
        self.folded = None
        await self._llm.collective_rpc("unfold")

    async def sweep(self) -> list[int]:
        known = {request.lora_int_id for request in self._models.lora_requests.values()}
        orphans = sorted(set(await self._llm.list_loras()) - known)
        for orphan in orphans:
            await self._llm.remove_lora(orphan)
        await self._llm.collective_rpc("empty_last_lora_slot")
        return orphans

    async def check(self) -> None:
        if self.dead:
            raise EngineUnavailable("vLLM's engine process is dead")

    async def check_slots(self) -> None:
        """Raises AdapterNotServed when an adapter could leak into answers of the base."""
        if not all(await self._llm.collective_rpc("last_lora_slot_is_empty")):
            raise AdapterNotServed(
                "expected vLLM's last LoRA slot to be empty, found weights in it; the base would answer with them"
            )

    @property
    def dead(self) -> bool:
        """Whether vLLM's engine process is gone; it never comes back by itself."""
        return bool(self._llm.errored)

    def close(self) -> None:
        """End vLLM's processes."""
        self._llm.shutdown(timeout=5)
        self._llm.shutdown = lambda **_: None  # its destructor would do it again, when Python is half gone


async def boot(options: EngineOptions) -> VllmBackend:
    """Start vLLM (tens of seconds) and check what we assume of it."""
    from starlette.datastructures import State
    from vllm import AsyncEngineArgs, AsyncLLMEngine
    from vllm.entrypoints.launchers.api_server.app_state import init_app_state
    from vllm.entrypoints.launchers.cli_args import FrontendArgs

    arguments = AsyncEngineArgs(**options.arguments())
    llm, state = AsyncLLMEngine.from_engine_args(arguments), State()
    namespace = argparse.Namespace(**(vars(FrontendArgs()) | vars(arguments)))
    await init_app_state(llm, state, namespace, await llm.get_supported_tasks())
    backend = VllmBackend(llm, state.openai_serving_chat, state.openai_serving_models)
    await backend.check_slots()
    await llm.collective_rpc("rest_when_idle")
    for said in set(await llm.collective_rpc("group_lora_rows")):
        log.log(logging.INFO if said == _GROUPED else logging.WARNING, "LoRA operation: %s", said)
    return backend


def _first_finding(error: ValidationError) -> str:
    found = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in found["loc"])
    return f"{where}: {found['msg']}" if where else str(found["msg"])
