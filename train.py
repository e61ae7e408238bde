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
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from core.conversation import Conversation
from core.error_classes import ErrorClass
from core.gate import Evaluation
from core.judging import Prefer
from core.recipe import Recipe
from core.wish import recipe_of, wish_in
from resources import adapters, base_model, datasets, folders, job_files, preferences, trained
from resources.failures import DatasetUnusable, classify
from resources.golden_sets import golden_conversations
from resources.judge import Judge
from resources.process import die_with_parent, sign_of_life
from resources.progress import Progress
from resources.recognisers import recogniser
from resources.reference_sets import GENERAL, REPLAY, read_probes, read_set
from resources.settings import Settings, read_settings
from resources.store import Store, open_store
from resources.trainer import INTERRUPTED
from resources.trainer_guard import TrainerGuard, end_as_a_failure, stop_at_once
from resources.versions import Claim, Version
from wrappers.adapter_job import AdapterJob, library_versions, train_adapter
from wrappers.checkpoints import Checkpointing, Checkpoints, Origin
from wrappers.evaluation import EvaluationJob, evaluate_adapter, refused
from wrappers.ranks import join
from wrappers.together import together
from wrappers.training_outcome import StepReport, TrainingImpossible, TrainingInterrupted

logger = logging.getLogger("train")

PROGRESS_SECONDS = 1.0
NICENESS = 5
WHOLE_MODEL_CHECKPOINT_SECONDS = 120.0


@dataclass(frozen=True)
class Work:
    """One version at one fence, and everything both stages need to know of it."""

    settings: Settings
    store: Store
    claim: Claim
    version: Version
    base: Path
    fingerprint: str

    def folder(self, kind: str, n: int | None = None) -> Path:
        """`kind` is one of the folders of the state: datasets, checkpoints, adapters, reports."""
        return self.settings.state_dir / kind / f"v{n or self.claim.n}"


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
        _use_gpus(wish_in(version.settings).gpu_ids)
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


def _use_gpus(ids: Sequence[int]) -> None:
    """Read when torch first looks for a GPU, which nothing did yet."""
    if ids:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, ids))


def train(work: Work, guard: TrainerGuard) -> None:
    """Publish the adapter of the version; a whole one of the same dataset is kept."""
    dataset_hash = _dataset_hash(work)
    origin = _origin(work, dataset_hash)
    final = trained.folder_of(work.settings.state_dir, work.claim.n, origin.recipe.method)
    if _is_done(final, work, origin):
        logger.info("v%d has its adapter already", work.claim.n)
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: guard.stop.set())
    checkpointing = _checkpointing(work, origin)
    # one that slept since an earlier fence must not take what a later one writes for left over
    for fence in range(1, work.claim.fence):
        for left_over in final.parent.glob(f"{final.name}.tmp-{fence}-*"):
            shutil.rmtree(left_over, ignore_errors=True)
    staging = final.with_name(f"{final.name}.tmp-{work.claim.fence}-{os.getpid()}")
    staging.mkdir(parents=True)
    try:
        with together(_helper(work), _processes(work, origin), end_as_a_failure) as ranks:
            result = train_adapter(
                _job(work, origin),
                staging,
                checkpointing=checkpointing,
                on_step=_Reporter(guard),
                interrupted=guard.asked_to_stop,
                ranks=ranks,
            )
        kind = trained.kind_of(origin.recipe.method)
        manifest = origin.manifest(kind, folders.hashes(staging), counts=result.counts(), details=result.details())
        guard.demand_hold()
        job_files.note_checkpoints(work.settings.state_dir, work.claim.n)
        trained.publish(staging, final, manifest)
        checkpointing.checkpoints.clear()
        logger.info("v%d is trained: %s", work.claim.n, result.result)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def help_train(work: Work) -> None:
    """Compute a share of the rows of a training that another process leads; nothing is written here."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # whoever leads says when to stop, and takes this process with it
    origin = _origin(work, _dataset_hash(work))
    with TemporaryDirectory() as nothing_is_kept:
        train_adapter(
            _job(work, origin), Path(nothing_is_kept), checkpointing=_checkpointing(work, origin), ranks=join()
        )


def evaluate(work: Work, guard: TrainerGuard) -> None:
    """Write `evaluation.json`; it is measured anew each time, as the champion may have changed."""
    began = time.monotonic()
    result = _evaluation(work)
    guard.demand_hold()
    folders.write_whole(work.folder("reports") / "evaluation.json", result.model_dump_json(indent=1))
    seconds = time.monotonic() - began
    logger.info(
        "v%d evaluated on %d + %d in %.1f s", result.version, len(result.held_out), len(result.general), seconds
    )


def evaluate_again(work: Work, evaluation: int) -> None:
    """Write what is measured of a finished version now: against the champion of today, the champion against the base.

    Where the evaluation names a golden set, it is the only one.
    """
    asked = work.store.evaluations.get(evaluation)
    champion = work.store.champion.get().n
    uploads = work.settings.state_dir / "uploads"
    result = _measured(
        work, None if champion == work.claim.n else champion, golden_conversations(work.store, uploads, asked.upload)
    )
    target = work.folder("reports") / "evaluations" / str(evaluation) / "evaluation.json"
    folders.write_whole(target, result.model_dump_json(indent=1))


def _evaluation(work: Work) -> Evaluation:
    golden = golden_conversations(work.store, work.settings.state_dir / "uploads")
    return _measured(work, work.store.champion.get().n, golden)


def _measured(work: Work, champion: int | None, golden: list[Conversation] | None) -> Evaluation:
    candidate = trained.folder_of(work.settings.state_dir, work.claim.n, work.version.method)
    try:
        manifest = trained.verify(candidate, work.fingerprint, work.version.method)
    except folders.FolderRefused as error:
        right_base = folders.read_manifest(candidate).base_fingerprint == work.fingerprint
        return refused(work.claim.n, work.fingerprint, right_base=right_base, reason=str(error))
    if champion is not None:
        adapters.verify(work.folder("adapters", champion), work.fingerprint)
    dataset = work.folder("datasets")
    return evaluate_adapter(
        EvaluationJob(
            version=work.claim.n,
            base=work.base,
            base_fingerprint=work.fingerprint,
            candidate=candidate,
            champion=(champion, work.folder("adapters", champion)) if champion is not None else None,
            held_out=_hidden(work, datasets.read_held_out(dataset)),
            units=_numbered(work, datasets.read_units(dataset)),
            general=read_set(GENERAL),
            probes=read_probes(),
            golden=golden,
            prefer=_judge(work.settings),
            trained=_hidden(work, datasets.read_train(dataset)),
            recipe=Recipe.model_validate(manifest.recipe),
            whole_model=manifest.kind == "model",
            cache=work.settings.state_dir / "cache" / "losses",
            alive=sign_of_life,
        )
    )


def _judge(settings: Settings) -> Prefer | None:
    if not settings.judge_model:
        return None
    key = settings.judge_api_key.get_secret_value() if settings.judge_api_key else ""
    return Judge(settings.judge_base_url, key, settings.judge_model)


def _hidden(work: Work, conversations: Sequence[Conversation]) -> list[Conversation]:
    """As a dataset names them today: what is measured goes into reports and MLflow."""
    names = work.store.pseudonyms()
    return [names.conversation(one) for one in conversations]


def _numbered(work: Work, units: Mapping[str, str]) -> dict[str, str]:
    """The same clusters under names that say nothing, for the same reason."""
    names = work.store.pseudonyms()
    numbers = {unit: f"unit-{number}" for number, unit in enumerate(sorted(set(units.values())), start=1)}
    return {names.id(id): numbers[unit] for id, unit in units.items()}


def _is_done(final: Path, work: Work, origin: Origin) -> bool:
    try:
        return trained.verify(final, work.fingerprint, origin.recipe.method).dataset_hash == origin.dataset_hash
    except folders.FolderRefused:
        return False


def _checkpointing(work: Work, origin: Origin) -> Checkpointing:
    """A state of a whole model is three times its size in fp32, which takes seconds to write."""
    seconds = work.settings.checkpoint_seconds
    checkpoints = Checkpoints(
        work.folder("checkpoints"),
        publish=folders.publish,
        check=folders.check,
        hashes=folders.hashes,
        keep=wish_in(work.version.settings).checkpoint_keep or work.settings.checkpoint_keep,
    )
    least = 0.0 if origin.recipe.makes_adapter else WHOLE_MODEL_CHECKPOINT_SECONDS
    return Checkpointing(checkpoints, origin, max(seconds, least))


def _processes(work: Work, origin: Origin) -> int:
    """One for each GPU that was asked for, else as many as are set; preferences are learned by TRL in one."""
    if origin.recipe.method in ("dpo", "kto"):
        return 1
    return len(wish_in(work.version.settings).gpu_ids) or work.settings.finetune_processes


def _helper(work: Work) -> list[str]:
    named = ["--version", str(work.claim.n), "--fence", str(work.claim.fence), "--parent", str(os.getpid())]
    return [sys.executable, str(Path(__file__).resolve()), "--stage", "help", *named]


def _dataset_hash(work: Work) -> str:
    try:
        manifest = folders.check(work.folder("datasets"))
    except folders.FolderRefused as error:
        raise DatasetUnusable(str(error)) from error
    if manifest.base_fingerprint != work.fingerprint:
        raise DatasetUnusable(
            f"Expected the dataset of v{work.claim.n} for base {work.fingerprint}, found {manifest.base_fingerprint}"
        )
    return manifest.dataset_hash or manifest.fingerprint()


def _origin(work: Work, dataset_hash: str) -> Origin:
    """What this training belongs to; a version keeps the live settings of its claim, whatever was changed since."""
    size = base_model.parameters(work.base)
    kept = {**work.version.settings, "finetune_method": work.version.method}
    recipe = recipe_of(kept, work.settings.live(), lambda live: work.settings.recipe(live, size))
    parent = work.version.parent if recipe.start_from == "champion" else None
    return Origin(work.claim.n, work.fingerprint, dataset_hash, recipe, parent, library_versions(recipe))


def _job(work: Work, origin: Origin) -> AdapterJob:
    """From the base all accepted conversations are new; from the champion those it has not learned, the rest replay.

    It has learned neither this version's nor those of versions that were rejected since.
    """
    conversations = datasets.read_train(work.folder("datasets"))
    said = _preferences(work, origin.recipe, conversations)
    replay = read_set(REPLAY)
    start = _start(work, origin)
    if start:
        names = work.store.pseudonyms()
        own = set(map(names.id, work.store.versions.ids_since(work.claim.n, origin.parent or 0)))
        replay += [conversation for conversation in conversations if names.id(conversation.id) not in own]
        conversations = [conversation for conversation in conversations if names.id(conversation.id) in own]
    recipe = _fitting_into_memory(work, origin.recipe)
    needed = recipe.patience or recipe.rate_factors
    validation = datasets.read_side(work.folder("datasets"), "validation") if needed else []
    return AdapterJob(work.base, work.base.name, conversations, replay, recipe, start, said, validation)


def _fitting_into_memory(work: Work, recipe: Recipe) -> Recipe:
    """More and shorter rows, and activations computed twice, make the same steps with less memory.

    What was asked for stays in the manifest as it was asked.
    """
    if not work.version.out_of_memory:
        return recipe
    tokens = recipe.row_tokens(work.version.out_of_memory)
    logger.warning("Memory ran out before: rows of %d instead of %d tokens", tokens, recipe.pack_tokens)
    return recipe.model_copy(update={"pack_tokens": tokens, "gradient_checkpointing": True})


def _preferences(work: Work, recipe: Recipe, conversations: Sequence[Conversation]) -> list[dict[str, Any]]:
    """What people corrected or rated, where the method asks for it and there is enough of it."""
    if recipe.method not in ("dpo", "kto"):
        return []
    found = _corrections_or_ratings(work, recipe, conversations)
    settings = work.settings
    least = preferences.Least(
        settings.finetune_min_corrections, settings.finetune_min_ratings, settings.finetune_min_blamed
    )
    why_not = preferences.too_few(recipe.method, found, least)
    if why_not is None:
        return found
    work.store.events.add("preferences_too_few", f"v{work.claim.n}, {recipe.method}: {why_not}", work.claim.n)
    return []


def _corrections_or_ratings(work: Work, recipe: Recipe, conversations: Sequence[Conversation]) -> list[dict[str, Any]]:
    recognise = recogniser(work.settings.data_recogniser)
    if recipe.method == "dpo":
        return preferences.corrections(work.store, conversations, recognise)
    folder = work.folder("datasets")
    kept_apart = chain(datasets.read_side(folder, "held_out"), datasets.read_side(folder, "validation"))
    golden = golden_conversations(work.store, work.settings.state_dir / "uploads") or []
    return preferences.ratings(work.store, conversations, recognise, kept_apart, golden)


def _start(work: Work, origin: Origin) -> Path | None:
    if origin.parent is None:
        return None
    folder = work.folder("adapters", origin.parent)
    adapters.verify(folder, work.fingerprint)
    return folder


class _Reporter:
    """Writes steps as progress, at most one a second; always the last, and those after which was validated."""

    def __init__(self, guard: TrainerGuard) -> None:
        self._guard = guard
        self._written = float("-inf")

    def __call__(self, report: StepReport) -> None:
        now = time.monotonic()
        rare = report.step == report.total_steps or report.validation_loss is not None
        if now - self._written < PROGRESS_SECONDS and not rare:
            return
        self._written = now
        self._guard.report(
            Progress(
                step=report.step,
                total_steps=report.total_steps,
                loss=report.loss,
                learning_rate=report.learning_rate,
                tokens_per_second=report.tokens_per_second,
                eta_seconds=report.eta_seconds,
                stage="training",
                validation_loss=report.validation_loss,
            )
        )


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
