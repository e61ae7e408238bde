"""The file for a cluster: what Ray reads in it, what it must not hold, and that Ray runs it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from deploy import cluster_file
from deploy.cluster_file import BuildFailed
from deploy.cluster_file import cluster_file as text_of
from resources.settings import ROOT, Settings, read_settings
from serve.placement import PlacementRefused

RUN = "from ray.serve.scripts import cli; cli()"
DESCRIBED = """
applications:
- {name: app1, route_prefix: /, import_path: "serve.app:app", runtime_env: {}, deployments: [{name: Engine}]}
grpc_options: {port: 9000}
"""


def chosen(tmp_path: Path, **more: Any) -> Settings:
    secrets = {"api_key": "k-chat-1", "admin_api_key": "k-admin-1", "enable_auth": True}
    return read_settings(state_dir=tmp_path, database_url="postgresql://u:pa55@db/w", **secrets, **more)


def read(text: str) -> tuple[dict[str, Any], ServeDeploySchema]:
    described = yaml.safe_load(text)
    return described, ServeDeploySchema.model_validate(described)


def test_it_names_our_factory_with_plain_settings_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_file, "_described_by_ray", lambda settings: DESCRIBED)
    text = text_of(chosen(tmp_path, host="0.0.0.0", engine_replicas=2), 4)  # noqa: S104 - of containers
    described, schema = read(text)
    [application] = schema.applications
    assert (application.name, application.import_path) == ("whetstone", "serve.app:build")
    assert application.args["engine_replicas"] == "2"
    assert application.args["gpus"] == 4
    assert application.runtime_env["env_vars"]["HF_HUB_OFFLINE"] == "1"
    assert (schema.http_options.host, schema.http_options.port) == ("0.0.0.0", 8000)  # noqa: S104
    assert described["http_options"]["request_timeout_s"] is None
    for secret in ("k-chat-1", "k-admin-1", "pa55"):
        assert secret not in text
    head = text[: text.index("\n\n")]
    assert "ADMIN_API_KEY, API_KEY, DATABASE_URL" in head
    assert "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH=serve.proxy_guard:middlewares" in head


def test_what_does_not_fit_or_build_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PlacementRefused, match=r"2 × 0\.7"):
        text_of(chosen(tmp_path, engine_gpu_fraction=0.7, engine_replicas=2), 1)
    file = tmp_path / "serve.yaml"
    monkeypatch.setattr(sys, "argv", ["cluster_file", str(file), "--gpus", "0"])
    monkeypatch.setenv("ENGINE_GPU_FRACTION", "0.5")
    assert cluster_file.main() == 2
    monkeypatch.setattr(sys, "argv", ["cluster_file", str(file)])

    def failing(settings: Settings) -> str:
        raise BuildFailed("BASE_MODEL is not there")

    monkeypatch.setattr(cluster_file, "_described_by_ray", failing)
    assert cluster_file.main() == 2
    assert not file.exists()


@pytest.mark.slow
def test_ray_describes_every_part_with_its_share(tmp_path: Path) -> None:
    shares = {"engine_gpu_fraction": 0.7, "second_engine_gpu_fraction": 0.2, "rest_gpu_fraction": 0.1}
    _, schema = read(text_of(read_settings(state_dir=tmp_path, engine_max_replicas=2, **shares), 2))
    parts = {part.name: part for part in schema.applications[0].deployments}
    shown = {name: part.ray_actor_options.num_gpus for name, part in parts.items()}
    assert {name: share for name, share in shown.items() if share} == {
        "Engine": 0.7,
        "SecondEngine": 0.2,
        "Ingress": 0.1,
    }
    scaled = parts["Engine"].autoscaling_config
    assert (scaled["min_replicas"], scaled["max_replicas"], scaled["target_ongoing_requests"]) == (1, 2, 8)


@pytest.mark.slow
@pytest.mark.engine
def test_ray_runs_it_with_two_engines(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = read_settings(state_dir=tmp_path / "state", fastapi_port=port, engine_replicas=2)
    text = text_of(settings, 0).replace("serve.app:build", "tests.serve.light_app:build")
    described = yaml.safe_load(text)
    described["applications"][0]["args"].pop("gpus")  # the double is told so already
    file = tmp_path / "light.yaml"
    file.write_text(yaml.safe_dump(described), encoding="utf-8")
    command = [sys.executable, "-c", RUN, "run", str(file)]
    apart = tempfile.mkdtemp(prefix="ray-")  # a short path, for sockets lie in it
    private = {"RAY_ADDRESS": "local", "RAY_TMPDIR": apart, "RAY_USAGE_STATS_ENABLED": "0"}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **private}
    with (tmp_path / "log").open("w") as log:
        running = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        assert len(_who_answers(f"http://127.0.0.1:{port}", running, tmp_path / "log")) == 2
    finally:
        _end(running)
        shutil.rmtree(apart, ignore_errors=True)


def _end(running: "subprocess.Popen[bytes]") -> None:
    """Ray's own processes end with the one that started them, also where that one is killed."""
    running.send_signal(signal.SIGINT)
    try:
        running.wait(120)
    except subprocess.TimeoutExpired:
        running.kill()
        raise


def _who_answers(url: str, running: "subprocess.Popen[bytes]", log: Path) -> set[str]:
    """The processes that answer, asked until there are two."""
    found: set[str] = set()
    deadline = time.monotonic() + 300
    body = {"messages": [{"role": "user", "content": "Who?"}], "store": False}
    while len(found) < 2:
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        assert running.poll() is None, log.read_text()[-3000:]
        try:
            answer = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=20, trust_env=False)
        except httpx.HTTPError:
            time.sleep(0.5)
            continue
        if answer.status_code == 200:
            found.add(answer.json()["choices"][0]["message"]["content"])
    return found
