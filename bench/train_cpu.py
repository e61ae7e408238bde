"""LoRA training on the CPU: useful tokens a second beside HF Trainer + PEFT and beside the machine's own limit.

Every contender trains on the same conversations in a process of its own, in turns: one epoch, or what those with
defaults manage in 20 seconds. Useful tokens are context and labels, without padding; the first steps of each are
warm-up and not counted. The limit is the bf16 matrix rate of this machine in the same run, at 4N operations a token.
Losses are compared with a Trainer that was given our order and our learning rates.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.report import RESULTS, Figure, Report, Target
from bench.train_peer import peer
from core.conversation import Conversation
from core.recipe import Recipe
from core.rendering import Rendered, render
from deploy.corpus import load, rows
from resources import base_model
from resources.settings import ROOT, read_settings
from wrappers.lora_model import attach, load_base, load_tokenizer, save_adapter
from wrappers.lora_scoring import AdapterScorer
from wrappers.lora_training import LoraTraining
from wrappers.packing import collate
from wrappers.plan import Step, plan

WORK = RESULTS / "train-cpu"
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "2"))
TRAINED, SCORED, WARM_STEPS = int(os.environ.get("BENCH_ROWS", "220")), 40, 2
RECIPE = Recipe(epochs=1, replay_share=0.0)
CONTENDERS = ("fp32", "bf16", "best", "ours")
PEERS = {
    "fp32": "HF Trainer + PEFT, defaults",
    "bf16": "the same on bf16 weights",
    "best": "autocast to bf16, by length",
}
EQUAL_LOSS = Target(at_least=0.99, at_most=1.01, of_ratio=True)


def main() -> int:
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    prepare()
    measured: dict[str, list[dict[str, float]]] = {}
    for _ in range(ROUNDS):
        for name in ("matrices", *CONTENDERS):
            measured.setdefault(name, []).append(run(name))
    measured["same order"] = [run("same order")]
    return Report("train_cpu", figures(measured), {"runs": measured}).finish()


def figures(measured: dict[str, list[dict[str, float]]]) -> list[Figure]:
    speed = {name: _mean(measured[name], "tokens_per_second") for name in CONTENDERS}
    limit = max(run["flops"] for run in measured["matrices"]) / (4 * measured["ours"][0]["parameters"])
    ours, same = _mean(measured["ours"], "loss"), measured["same order"][0]["loss"]
    rates = "useful tokens a second"
    return [
        Figure(rates, speed["ours"], "/s", speed["fp32"], PEERS["fp32"], Target(at_least=4.0, of_ratio=True)),
        Figure(rates, speed["ours"], "/s", speed["bf16"], PEERS["bf16"]),
        Figure(rates, speed["ours"], "/s", speed["best"], PEERS["best"], Target(at_least=2.0, of_ratio=True)),
        Figure(rates, speed["ours"], "/s", limit, "bf16 matrices at 4N", Target(at_least=0.5, of_ratio=True)),
        Figure("useful of computed tokens", measured["ours"][0]["linear"], target=Target(at_least=0.97)),
        Figure("the same in attention", measured["ours"][0]["attention"]),
        Figure("loss of unseen after it", ours, "nats", same, "Trainer in our order", EQUAL_LOSS),
        *(Figure(f"seconds to import and load: {name}", _mean(measured[name], "start"), "s") for name in CONTENDERS),
    ]


def run(name: str) -> dict[str, float]:
    """What a process of its own measured."""
    subprocess.run([sys.executable, "-m", "bench.train_cpu", name], check=True)
    found: dict[str, float] = json.loads((WORK / "measured.json").read_text(encoding="utf-8"))
    print(f"{name}: {', '.join(f'{what} {value:,.3f}' for what, value in found.items())}", flush=True)
    return found


def prepare() -> None:
    """Render the distinct conversations of the corpus once; the last ones are scored, the others trained on."""
    tokenizer = load_tokenizer(_base())
    fields = ("id", "messages", "reply", "provenance")
    distinct = {(row["messages"][0]["content"], row["reply"]): row for row in rows(load())}
    conversations = [
        Conversation(**{name: row[name] for name in fields}, source="bench", created_at="2026-01-01T00:00:00Z")
        for row in distinct.values()
    ]
    rendered = [render(conversation, tokenizer, RECIPE.max_length) for conversation in conversations]
    step = len(rendered) // SCORED
    scored = range(0, len(rendered), step)[:SCORED]
    trained = [at for at in range(len(rendered)) if at not in set(scored)][:TRAINED]
    document = {
        kind: [[rendered[at].input_ids, rendered[at].labels] for at in some]
        for kind, some in (("trained", trained), ("scored", scored))
    }
    (WORK / "rendered.json").write_text(json.dumps(document), encoding="utf-8")


def read(kind: str) -> list[Rendered]:
    kept = json.loads((WORK / "rendered.json").read_text(encoding="utf-8"))[kind]
    return [Rendered(tuple(ids), tuple(labels)) for ids, labels in kept]


def matrices() -> dict[str, float]:
    """The best rate of bf16 products of this model's shapes and of a large square, in operations a second."""
    import torch

    best = 0.0
    for rows_, inner, columns in ((1024, 576, 1536), (1024, 1536, 576), (2048, 2048, 2048)):
        left, right = torch.randn(rows_, inner).bfloat16(), torch.randn(columns, inner).bfloat16()
        for _ in range(8):
            began = time.perf_counter()
            for _ in range(10):
                left @ right.mT
            best = max(best, 10 * 2 * rows_ * inner * columns / (time.perf_counter() - began))
    return {"flops": best}


def ours() -> dict[str, float]:
    began = time.monotonic()
    trained = read("trained")
    base = load_base(_base())
    parameters = base.num_parameters()
    model = attach(base, RECIPE)
    training = LoraTraining(model, trained, [], RECIPE)
    started = time.monotonic()
    clock = StepClock(step_tokens(trained))
    training.run(on_step=lambda report: clock.tick())
    (WORK / "ours").mkdir(exist_ok=True)
    save_adapter(model, WORK / "ours", "bench")
    return {
        "tokens_per_second": clock.speed(),
        "loss": scored(WORK / "ours"),
        "parameters": parameters,
        "start": started - began,
        **packed(trained),
    }


def packed(trained: Sequence[Rendered]) -> dict[str, float]:
    """The share of useful tokens among those computed, in the linear layers and in attention."""
    rows_ = [collate([trained[at] for at in row]) for step in steps(trained) for row in step.rows]
    useful = sum(step_tokens(trained))
    places = sum(len(block.source) for row in rows_ for block in row.layout.blocks)
    return {"linear": useful / sum(row.tokens for row in rows_), "attention": useful / places}


class StepClock:
    """Useful tokens a second over the steps after the warm-up; `tokens` are those of each step."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = tokens
        self._ends: list[float] = []

    def tick(self) -> None:
        self._ends.append(time.monotonic())

    def speed(self) -> float:
        counted = sum(self._tokens[WARM_STEPS : len(self._ends)])
        return counted / (self._ends[-1] - self._ends[WARM_STEPS - 1])


def step_tokens(trained: Sequence[Rendered]) -> list[int]:
    return [sum(len(trained[at].input_ids) for row in step.rows for at in row) for step in steps(trained)]


def steps(trained: Sequence[Rendered]) -> list[Step]:
    return plan([len(conversation.input_ids) for conversation in trained], [], RECIPE)


def scored(adapter: Path) -> float:
    """Mean loss of the unseen conversations, measured in the same way for every contender."""
    losses = AdapterScorer(load_base(_base()), {"it": adapter}, RECIPE.pack_tokens).losses("it", read("scored"))
    return sum(losses) / len(losses)


def _base() -> Path:
    settings = read_settings()
    return base_model.resolve(settings.base_model, settings.models_dir)


def _mean(runs: Sequence[dict[str, float]], name: str) -> float:
    return sum(run[name] for run in runs) / len(runs)


def _theirs(kind: str) -> Callable[[], dict[str, float]]:
    def measure() -> dict[str, float]:
        trained = read("trained")
        order = [[at for row in step.rows for at in row] for step in steps(trained)] if kind == "same order" else None
        measured = peer(_base(), trained, RECIPE, kind, WORK / "theirs", order, WARM_STEPS)
        return {**measured, "loss": scored(WORK / "theirs")} if order else measured

    return measure


if __name__ == "__main__":
    os.chdir(ROOT)
    if len(sys.argv) == 1:
        sys.exit(main())
    work: dict[str, Callable[[], dict[str, float]]] = {"matrices": matrices, "ours": ours}
    name = sys.argv[1]
    result = (work[name] if name in work else _theirs(name))()
    (WORK / "measured.json").write_text(json.dumps(result), encoding="utf-8")
