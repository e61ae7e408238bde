"""The trainer process: `python train.py --stage train|evaluate|help --version N --fence F`.

It joins the store (fence, progress, stop) with the wrapper (LoRA), and publishes `adapters/vN` or
`reports/vN/evaluation.json`. With `--stage again --evaluation E` a finished version is measured once more, held by
nobody, and `reports/vN/evaluations/E/evaluation.json` is written.

Exit status: 0 done, 1 failed, 76 fenced out, 143 interrupted.
A failure says its class and message as the last line of stderr, in JSON.
"""

import argparse
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence

from core.error_classes import ErrorClass
from core.recipe import PREFERENCE_METHODS
from core.wish import wish_in
from resources import base_model
from resources.failures import classify
from resources.process import die_with_parent
from resources.settings import Settings, read_settings
from resources.store import open_store
from resources.trainer import INTERRUPTED
from resources.trainer_guard import TrainerGuard, stop_at_once
from resources.versions import Claim
from stages.evaluate import evaluate, evaluate_again
from stages.train import help_train, train
from stages.work import Work
from wrappers.training_outcome import TrainingImpossible, TrainingInterrupted

logger = logging.getLogger("train")

NICENESS = 5


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _arguments(argv)
    helps = arguments.stage == "help"
    if arguments.parent:
        die_with_parent(arguments.parent, signal.SIGKILL if helps else signal.SIGTERM)
    try:
        settings = read_settings()
        _log_to(settings, arguments.version)
        _run(settings, arguments)
    except BaseException as error:  # noqa: BLE001 - the last chance to say what happened in a form the parent reads
        return _last_word(error)
    return 0


def _run(settings: Settings, arguments: argparse.Namespace) -> None:
    os.nice(NICENESS)
    # read when torch loads its OpenMP: a thread that waits must not take the core from the one it waits for
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # hardly two packed rows are of one length: kernels kept for the last thousand shapes would only fill the memory
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # the model is on disk; a look-up would only wait
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # nobody is told what is trained here
    base = base_model.resolve(settings.base_model, settings.models_dir)
    fingerprint = base_model.fingerprint(base)
    store = open_store(settings.database_url, live_defaults=settings.live(), lineage=fingerprint)
    try:
        version = store.versions.get(arguments.version)
        claim = Claim(version.n, arguments.fence, version.attempts, version.state, resumed=True)
        work = Work(settings, store, claim, version, base, fingerprint)
        _use_gpus(wish_in(version.settings).gpu_ids, alone=version.method in PREFERENCE_METHODS)
        if arguments.stage == "again":
            evaluate_again(work, arguments.evaluation)
        elif arguments.stage == "train":
            with TrainerGuard(store, claim) as guard:
                train(work, guard)
        elif arguments.stage == "help":
            help_train(work)
        else:  # an evaluation is measured anew each time, so that a stop has nothing to wait for
            with TrainerGuard(store, claim, on_stop=stop_at_once) as guard:
                evaluate(work, guard)
    finally:
        store.close()


def _use_gpus(ids: Sequence[int], *, alone: bool) -> None:
    """Read when torch first looks for a GPU, which nothing did yet; `alone`: TRL refuses to see more than one."""
    visible = [*map(str, ids)] or os.environ.get("CUDA_VISIBLE_DEVICES", "0" if alone else "").split(",")
    if visible[0]:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(visible[:1] if alone else visible)


def _log_to(settings: Settings, version: int) -> None:
    logs = settings.state_dir / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=logs / f"trainer-v{version}.log",
        level=settings.log_level,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    logging.captureWarnings(True)


def _last_word(error: BaseException) -> int:
    logger.error("The trainer failed", exc_info=error)
    error_class = _class_of(error)
    message = str(error) or type(error).__name__
    sys.stderr.write(json.dumps({"error_class": error_class, "message": message}, ensure_ascii=False) + "\n")
    return INTERRUPTED if error_class == "INTERRUPTED" else 1


def _class_of(error: BaseException) -> ErrorClass:
    if isinstance(error, TrainingInterrupted | KeyboardInterrupt):
        return "INTERRUPTED"
    return "DATASET_ERROR" if isinstance(error, TrainingImpossible) else classify(error)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train or evaluate one version.")
    parser.add_argument("--stage", choices=["train", "evaluate", "again", "help"], required=True)
    parser.add_argument("--version", type=int, required=True)
    parser.add_argument("--fence", type=int, default=0, help="the claim under which it works")
    parser.add_argument("--evaluation", type=int, help="what a person asked for, with `again`")
    parser.add_argument("--parent", type=int, help="the process whose end ends this one")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
