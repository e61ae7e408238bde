"""Whether the gate is honest: exact nulls, power beside the plan, and real trainings, good and bad ones.

`.venv/bin/python -m bench.gate`: some half an hour on two cores. Every training, evaluation and drawing is kept under
var/bench/gate by what it was made of: broken off and begun again, it goes on (`--seconds N` ends it by itself).
"""

import argparse
import json
import os
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from bench.gate_nulls import DRAWS, Drawn, draw
from bench.gate_trainings import Rows, Training, corpus, fingerprint, trainings
from bench.report import RESULTS, Figure, Report, Target
from core.canonical import fingerprint_of
from core.gate import Evaluation, GateThresholds, Verdict, judge
from core.recipe import Recipe
from resources import base_model
from resources.reference_sets import GENERAL, PROBES, REPLAY, read_probes, read_set
from resources.settings import ROOT, read_settings
from wrappers.adapter_job import AdapterJob, train_adapter
from wrappers.evaluation import EvaluationJob, evaluate_adapter
from wrappers.lora_model import WEIGHTS

FOLDER = RESULTS / "gate"
EFFECTS = (-0.1, -0.15, -0.2, -0.3)
NULL = Target(at_most=0.05)
# at the margin itself the chance is alpha exactly, so that the drawing lies on either side of it
AT_MARGIN = Target(at_most=0.05 + 3 * (0.05 * 0.95 / DRAWS) ** 0.5)
# the plan assumes normal means; drawing and plan may differ by this much
NEAR_PLAN = 0.05


class Workplace:
    """The base, the data, and what was made before."""

    def __init__(self, base: Path, fingerprint: str) -> None:
        self.base, self.fingerprint = base, fingerprint
        self.every, self.held_out = corpus()
        self.by_name = {one.name: one for one in trainings()}

    def recipe(self, training: Training) -> Recipe:
        return Recipe(**{"seed": 1, **training.recipe})

    def adapter(self, training: Training) -> Path:
        """Train it, or find it as it was trained before."""
        source = self.by_name[training.same_as] if training.same_as else training
        conversations, recipe = source.make(self.every), self.recipe(source)
        key = [fingerprint(conversations), recipe.fingerprint(), source.noise, self.fingerprint]
        folder = FOLDER / "adapters" / fingerprint_of(key)[:24]
        if not folder.is_dir():
            clean = self.adapter(replace(source, noise=0.0)) if source.noise else None
            self._make(folder, conversations, recipe, clean, source.noise)
        return folder

    def evaluation(self, training: Training) -> Evaluation:
        """What the product measures of it, measured once."""
        adapter = self.adapter(training)
        champion = self.adapter(self.by_name[training.against]) if training.against else None
        made = [PROBES.read_text(encoding="utf-8"), GENERAL.read_text(encoding="utf-8"), fingerprint(self.held_out)]
        key = [adapter.name, champion.name if champion else None, fingerprint_of(made)]
        path = FOLDER / "evaluations" / f"{fingerprint_of(key)[:24]}.json"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, self._evaluate(training, adapter, champion).model_dump_json(indent=1))
        return Evaluation.model_validate_json(path.read_bytes())

    def _make(self, folder: Path, conversations: Rows, recipe: Recipe, clean: Path | None, noise: float) -> None:
        staging = folder.with_name(f"{folder.name}.tmp")
        shutil.rmtree(staging, ignore_errors=True)
        if clean:
            shutil.copytree(clean, staging)
            add_noise(staging / WEIGHTS, noise)
        else:
            staging.mkdir(parents=True)
            train_adapter(AdapterJob(self.base, self.base.name, conversations, read_set(REPLAY), recipe), staging)
        staging.rename(folder)

    def _evaluate(self, training: Training, adapter: Path, champion: Path | None) -> Evaluation:
        return evaluate_adapter(
            EvaluationJob(
                version=2,
                base=self.base,
                base_fingerprint=self.fingerprint,
                candidate=adapter,
                champion=(1, champion) if champion else None,
                held_out=self.held_out,
                units={one.id: str(one.user_id) for one in self.held_out},
                general=read_set(GENERAL),
                recipe=self.recipe(training),
                probes=read_probes(),
                trained=training.make(self.every),
                cache=FOLDER / "cache",
            )
        )


def add_noise(weights: Path, scale: float) -> None:
    """Normal noise on every matrix, `scale` times as large as its own entries."""
    import torch
    from safetensors.torch import load_file, save_file

    generator = torch.Generator().manual_seed(9)
    tensors = {
        name: tensor + scale * tensor.std() * torch.randn(tensor.shape, generator=generator)
        for name, tensor in load_file(weights).items()
    }
    save_file(tensors, weights, metadata={"format": "pt"})


def drawn(real: Evaluation, effect: float) -> Drawn:
    """Kept by the losses it was drawn from and the lines of the gate."""
    limits = GateThresholds()
    key = fingerprint_of([real.model_dump(mode="json", include={"held_out"}), effect, DRAWS, limits.model_dump()])
    path = FOLDER / "drawn" / f"{key[:24]}.json"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, json.dumps(vars(draw(real, effect))))
    return Drawn(**json.loads(path.read_text(encoding="utf-8")))


def write(path: Path, text: str) -> None:
    staging = path.with_suffix(".tmp")
    staging.write_text(text, encoding="utf-8")
    staging.rename(path)


def figures(judged: dict[Training, Verdict], draws: dict[str, Drawn]) -> list[Figure]:
    wrong = [one.name for one, verdict in judged.items() if verdict.promoted != one.promoted]
    found = [
        Figure("trainings judged", float(len(judged)), target=Target(at_least=12)),
        Figure("trainings judged wrongly", float(len(wrong)), target=Target(at_most=0)),
    ]
    for name, one in draws.items():
        share = one.promoted / one.draws
        if name.startswith("null"):
            target = AT_MARGIN if one.effect else NULL
            found.append(Figure(f"{name}, promoted of {one.draws:,}", share, target=target))
        else:
            near = Target(at_least=(one.planned or 0.0) - NEAR_PLAN, at_most=(one.planned or 0.0) + NEAR_PLAN)
            found.append(
                Figure(f"power at {one.effect:+.2f} nats of {one.draws:,}", share, "", one.planned, "planned", near)
            )
    return found


def verdicts(judged: dict[Training, Verdict]) -> Table:
    shown = Table(box=box.ASCII, title="what the gate said of each training")
    for heading in ("training", "against", "wanted", "said", "loss", "checks that fired"):
        shown.add_column(heading)
    for training, verdict in judged.items():
        fired = [check.name for check in verdict.checks if not check.passed]
        loss = next(check for check in verdict.checks if check.name == "held_out_loss_vs_champion")
        said = "promoted" if verdict.promoted else "rejected"
        shown.add_row(
            f"{training.name}: {training.says}",
            training.against or "base",
            "promoted" if training.promoted else "rejected",
            said if verdict.promoted == training.promoted else f"WRONG: {said}",
            "-" if loss.estimate is None else f"{loss.estimate:+.3f}",
            ", ".join(fired) or "none",
        )
    return shown


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin nothing new after this long")
    ends = time.monotonic() + parser.parse_args().seconds
    settings = read_settings()
    base = base_model.resolve(settings.base_model, settings.models_dir)
    place = Workplace(base, base_model.fingerprint(base))
    judged: dict[Training, Verdict] = {}
    details: dict[str, Any] = {}
    for training in trainings():
        if time.monotonic() > ends:
            print(f"{len(judged)} of {len(trainings())} trainings are judged; start it again to go on")
            return 1
        verdict = judge(place.evaluation(training), GateThresholds())
        judged[training] = verdict
        details[training.name] = verdict.model_dump(mode="json", exclude={"thresholds"})
        print(f"{training.name}: {'promoted' if verdict.promoted else verdict.reasons[0]}", flush=True)
    real = place.evaluation(place.by_name["half"])
    draws = {"null of no difference": drawn(real, 0.0)}
    draws["null at the margin"] = drawn(real, -GateThresholds().superiority_margin)
    draws |= {f"power {effect}": drawn(real, effect) for effect in EFFECTS}
    Console(width=160).print(verdicts(judged))
    return Report("gate", figures(judged, draws), details).finish()


if __name__ == "__main__":
    os.chdir(ROOT)
    # read when torch loads its OpenMP, as the trainer sets it
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")
    sys.exit(main())
