"""The executor of vLLM's engine process on a CPU. Only vLLM imports this, by the name in the engine's arguments."""

from vllm.v1.executor.multiproc_executor import MultiprocExecutor  # noqa: TID253 - see above

from serve.vllm_compat import sleep_between_messages


class RestingExecutor(MultiprocExecutor):  # type: ignore[misc]  # vLLM is untyped to mypy
    """Sleeps until the worker's step is done: stock vLLM spins on a core of its own for as long."""

    def _init_executor(self) -> None:
        sleep_between_messages()
        super()._init_executor()
