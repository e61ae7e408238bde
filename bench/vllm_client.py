"""vLLM's own `bench serve` as a client that stays: a process of its own, one JSON object a line in, one out.

Its start costs ten seconds of a core, which would be measured if each block started one.
"""

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Any, Self

from resources.settings import ROOT


@dataclass(frozen=True)
class Block:
    """What is sent: `prompts` requests of random words, `clients` at once, each answered with `tokens` tokens."""

    url: str
    model: str
    clients: int
    prompts: int
    tokenizer: str
    words: int = 32
    tokens: int = 64
    seed: int = 0

    def arguments(self) -> list[str]:
        return [
            *("--backend", "openai-chat", "--endpoint", "/v1/chat/completions", "--base-url", self.url),
            *("--model", self.tokenizer, "--served-model-name", self.model, "--tokenizer", self.tokenizer),
            *("--dataset-name", "random", "--random-input-len", str(self.words)),
            *("--random-output-len", str(self.tokens), "--ignore-eos", "--temperature", "0"),
            *("--num-prompts", str(self.prompts), "--max-concurrency", str(self.clients)),
            *("--seed", str(self.seed), "--disable-tqdm", "--ready-check-timeout-sec", "0"),
            *("--percentile-metrics", "ttft,itl", "--metric-percentiles", "50,99"),
        ]


class VllmClient:
    """The process; a context manager."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.vllm_client"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._answer()  # it has imported vLLM
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait(timeout=30)

    def measure(self, block: Block) -> dict[str, Any]:
        """What `vllm bench serve` says of a block: `output_throughput` (tokens/s), `completed`, `p99_ttft_ms`, ..."""
        print(json.dumps(asdict(block)), file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise RuntimeError("Expected a line from the client, found that it ended: run bench.vllm_client by hand")
        found: dict[str, Any] = json.loads(line)
        return found


def serve_blocks() -> int:
    """Answer every line of the standard input."""
    import argparse

    from vllm.benchmarks.serve import add_cli_args, main_async

    said = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the benchmark prints is not an answer
    parser = argparse.ArgumentParser()
    add_cli_args(parser)
    print(json.dumps({"ready": True}), file=said, flush=True)
    for line in sys.stdin:
        result = asyncio.run(main_async(parser.parse_args(Block(**json.loads(line)).arguments())))
        kept = {name: value for name, value in result.items() if isinstance(value, int | float | str)}
        print(json.dumps(kept), file=said, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(serve_blocks())
