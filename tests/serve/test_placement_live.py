"""Ray places the parts on a GPU of its books: there is no card behind it, and the engines are doubles."""

import asyncio
import os
import socket
from collections.abc import Iterator

import httpx
import pytest

from resources.settings import ROOT, read_settings

pytestmark = [pytest.mark.slow, pytest.mark.engine]

SHARES = {"engine_gpu_fraction": 0.7, "second_engine_gpu_fraction": 0.2, "rest_gpu_fraction": 0.1}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    import ray  # here, so that the fast tests never load it
    from ray import serve

    from serve.cluster import application
    from tests.serve.light_app import LightEngine

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = read_settings(state_dir=tmp_path_factory.mktemp("state"), fastapi_port=port, **SHARES)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(address="local", num_cpus=3, num_gpus=1, include_dashboard=False, object_store_memory=100 * 2**20)
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        serve.run(application(settings, engine=LightEngine), name="whetstone")
        yield f"http://127.0.0.1:{port}"
        serve.shutdown()
        ray.shutdown()


def test_the_shares_fill_one_gpu_and_both_engines_answer(url: str) -> None:
    import ray

    assert ray.available_resources().get("GPU", 0) < 0.001
    body = {"model": "base", "messages": [{"role": "user", "content": "Who?"}], "store": False}

    async def ask() -> list[str]:
        async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
            answers = await asyncio.gather(*(client.post(f"{url}/v1/chat/completions", json=body) for _ in range(12)))
        return [answer.json()["choices"][0]["message"]["content"] for answer in answers]

    assert len(set(asyncio.run(ask()))) == 2


def test_the_routes_of_models_answer_over_ray(url: str) -> None:
    at = f"{url}/api/v1/admin/models"
    with httpx.Client(timeout=30, trust_env=False) as client:
        assert client.get(at).json() == {"items": [], "page": 1, "page_size": 50, "total": 0}
        assert client.post(f"{at}/1/deploy", json={"replicas": 2}).status_code == 404
