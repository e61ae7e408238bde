"""What a Ray cluster or KubeRay is given to run Whetstone: `python -m deploy.cluster_file FILE [--gpus N]`."""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from resources.folders import write_whole
from resources.preflight import EXIT_STATUS
from resources.settings import ROOT, Settings, SettingsError, read_settings
from resources.settings_fields import as_variable
from serve.app import environment
from serve.placement import PlacementRefused, placed
from serve.running import APPLICATION

_BUILD = "from ray.serve.scripts import cli; cli()"
# what every process of Ray must see before it starts, so that no application can bring it along
_OF_THE_NODES = ("RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH", "RAY_process_group_cleanup_enabled")
_TOLD = ("VLLM_NO_USAGE_STATS", "DO_NOT_TRACK", "HF_HUB_OFFLINE", "VLLM_LOGGING_LEVEL", "VLLM_CPU_OMP_THREADS_BIND")


class BuildFailed(RuntimeError):
    """Ray could not describe the application; the message is what it said last."""


def cluster_file(settings: Settings, gpus: int | None) -> str:
    """YAML for `serve deploy` and for `serveConfigV2` of a RayService. Raises PlacementRefused, BuildFailed."""
    import yaml

    placed(settings, gpus)
    described: dict[str, Any] = yaml.safe_load(_described_by_ray(settings))
    [application] = described["applications"]
    variables = environment(settings)
    application |= {
        "name": APPLICATION,
        "import_path": "serve.app:build",
        "runtime_env": {"env_vars": {name: variables[name] for name in _TOLD if name in variables}},
        "args": {**_plain(settings), **({} if gpus is None else {"gpus": gpus})},
    }
    described["http_options"] = {"host": settings.host, "port": settings.fastapi_port, "request_timeout_s": None}
    described.pop("grpc_options", None)
    described["logging_config"] = {"log_level": "WARNING", "enable_access_log": False}
    return _head(settings, variables) + yaml.safe_dump(_checked(described), sort_keys=False, allow_unicode=True)


def _described_by_ray(settings: Settings) -> str:
    """`serve build`, in a process that reads the same settings."""
    with TemporaryDirectory() as aside:
        file = Path(aside) / "described.yaml"
        command = [sys.executable, "-c", _BUILD, "build", "serve.app:app", "-o", str(file)]
        variables = {**os.environ, **settings.environment(), "RAY_USAGE_STATS_ENABLED": "0"}
        done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BuildFailed(next(reversed(done.stderr.strip().splitlines()), "Ray gave no reason"))
        return file.read_text(encoding="utf-8")


def _checked(described: dict[str, Any]) -> dict[str, Any]:
    from ray.serve.schema import ServeDeploySchema

    ServeDeploySchema.model_validate(described)
    return described


def _plain(settings: Settings) -> dict[str, Any]:
    """What was chosen and may stand in a file: no secret, and no address that may hold one."""
    return {name: as_variable(getattr(settings, name)) for name in _chosen(settings) if not _may_hold_secret(name)}


def _chosen(settings: Settings) -> list[str]:
    return sorted(settings.model_fields_set)


def _may_hold_secret(name: str) -> bool:
    return name.endswith(("_url", "_uri")) or "SecretStr" in str(Settings.model_fields[name].annotation)


def _head(settings: Settings, variables: dict[str, str]) -> str:
    hidden = [name.upper() for name in _chosen(settings) if _may_hold_secret(name)]
    nodes = " ".join(f"{name}={variables[name]}" for name in _OF_THE_NODES)
    lines = [
        "Whetstone for `serve deploy FILE` on a Ray cluster, or as serveConfigV2 of a RayService of KubeRay.",
        "On every node: this repository on PYTHONPATH with its packages, the base model prepared, STATE_DIR on a disk",
        "that all share, DATABASE_URL and MLFLOW_TRACKING_URI of servers that they reach, and, before Ray starts:",
        f"  {nodes}",
        *([f"Left out here; set them in the environment of the nodes: {', '.join(hidden)}"] if hidden else []),
    ]
    return "".join(f"# {line}\n" for line in lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.cluster_file", description=__doc__)
    parser.add_argument("file", type=Path, help="what is written; a file that is there is replaced")
    parser.add_argument("--gpus", type=int, help="GPUs of the cluster; without it the shares are not held against any")
    chosen = parser.parse_args()
    try:
        text = cluster_file(read_settings(), chosen.gpus)
        chosen.file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(chosen.file, text)
    except (SettingsError, PlacementRefused, BuildFailed, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_STATUS
    sys.stdout.write(f"{chosen.file} is for `serve deploy {chosen.file}`; its first lines say what each node needs.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
