from pathlib import Path

from bench.plain_vllm import plain_vllm
from deploy.demo import fresh_settings


def test_plain_vllm_gets_the_arguments_of_our_engine_and_nothing_of_ours(tmp_path: Path) -> None:
    settings = fresh_settings(tmp_path, fastapi_port=1, engine_max_sequences=32)
    words = " ".join(plain_vllm(settings, 4321, {"v1": "/adapters/v1"}).argv)
    for flag in ("--max-num-seqs 32", "--enable-lora", "--served-model-name base", "--port 4321", "--enforce-eager"):
        assert flag in words
    assert "--lora-modules v1=/adapters/v1" in words
    assert "worker-extension" not in words
    assert "None" not in words
