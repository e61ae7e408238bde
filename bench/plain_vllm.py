"""Plain `vllm serve` with the arguments of our engine, as a service beside ours."""

import sys
from typing import Any

from deploy.services import LOCAL, Service, services
from resources import base_model
from resources.settings import Settings

_OURS = ("worker_extension_cls", "distributed_executor_backend")  # what only our engine has


def plain_vllm(settings: Settings, port: int, adapters: dict[str, str]) -> Service:
    """The service; `adapters` are names and folders it serves beside `base`."""
    from serve.cluster import options_for
    from serve.placement import placed

    folder = base_model.resolve(settings.base_model, settings.models_dir)
    arguments = options_for(settings, folder, placed(settings, 0).engine).arguments()
    model = arguments.pop("model")
    flags = [word for name, value in arguments.items() if name not in _OURS for word in _flag(name, value)]
    modules = ["--lora-modules", *(f"{name}={folder}" for name, folder in adapters.items())] if adapters else []
    ours = next(part for part in services(settings) if part.name == "ingress")
    return Service(
        "vllm",
        (
            # what `vllm serve` runs; the command itself asks for a package `vllm`, which the CPU build is not called
            *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model),
            *("--host", LOCAL, "--port", str(port), *flags, *modules),
        ),
        ready_url=f"http://{LOCAL}:{port}/health",
        environment={**ours.environment, "VLLM_LOGGING_LEVEL": "ERROR"},
    )


def _flag(name: str, value: Any) -> list[str]:
    """One keyword of `AsyncEngineArgs` as vLLM's command line has it."""
    flag = f"--{name.replace('_', '-')}"
    if value is None or value is False:
        return []
    if value is True:
        return [flag]
    return [flag, *(str(each) for each in (value if isinstance(value, list) else [value]))]
