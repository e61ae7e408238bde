"""vLLM's worker and its engine process go to sleep after a step instead of spinning for a second."""

import time
from types import SimpleNamespace

import pytest

from serve.vllm_compat import EngineOptions, LoraSlots

pytestmark = pytest.mark.slow  # imports vLLM


@pytest.fixture
def condition():
    from vllm.distributed.device_communicators import shm_broadcast

    stock = shm_broadcast.SpinCondition.record_read
    reader = object.__new__(shm_broadcast.SpinCondition)
    reader.is_reader, reader.busy_loop_s = True, 1.0
    reader.local_notify_socket, reader.read_cancel_socket = object(), object()
    yield reader
    shm_broadcast.SpinCondition.record_read = stock


def worker_on(device: str) -> LoraSlots:
    worker = LoraSlots()
    worker.device = SimpleNamespace(type=device)
    return worker


def slept(condition) -> bool:
    """Whether a wait shortly after a read went to the socket instead of spinning."""
    condition.record_read()
    time.sleep(0.02)
    asked = []
    condition.poller = SimpleNamespace(poll=lambda timeout: asked.append(timeout) or {})
    condition.wait(timeout_ms=1)
    return bool(asked)


def test_stock_vllm_spins_after_a_read(condition):
    assert not slept(condition)


def test_on_a_cpu_the_worker_sleeps_after_a_read(condition):
    worker_on("cpu").rest_when_idle()
    assert slept(condition)


def test_on_a_gpu_nothing_is_changed(condition):
    worker_on("cuda").rest_when_idle()
    assert not slept(condition)


def test_on_a_cpu_the_engine_process_sleeps_until_a_step_is_done(condition, monkeypatch):
    from vllm.v1.executor.abstract import Executor

    chosen = EngineOptions("m").arguments()["distributed_executor_backend"]
    executor = Executor.get_class(SimpleNamespace(parallel_config=SimpleNamespace(distributed_executor_backend=chosen)))
    monkeypatch.setattr(executor.__base__, "_init_executor", lambda self: None)
    object.__new__(executor)._init_executor()
    assert slept(condition)


def test_on_a_gpu_vllm_chooses_its_executor():
    assert EngineOptions("m", kv_cache_bytes=None).arguments()["distributed_executor_backend"] is None
