"""The stage that trains: from the dataset of a version to its published adapter."""

import logging
import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from core.recipe import PREFERENCE_METHODS
from core.wish import wish_in
from resources import folders, job_files, trained
from resources.settings import ROOT
from resources.trainer_guard import TrainerGuard, end_as_a_failure
from stages.job import adapter_job
from stages.reporter import Reporter
from stages.work import Work, dataset_hash, origin_of
from wrappers.adapter_job import train_adapter
from wrappers.checkpoints import Checkpointing, Checkpoints, Origin
from wrappers.ranks import join
from wrappers.together import together
from wrappers.training_outcome import TrainingInterrupted

logger = logging.getLogger("train")

WHOLE_MODEL_CHECKPOINT_SECONDS = 120.0


def train(work: Work, guard: TrainerGuard) -> None:
    """Publish the adapter of the version; a whole one of the same dataset is kept."""
    origin = origin_of(work, dataset_hash(work))
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
                adapter_job(work, origin),
                staging,
                checkpointing=checkpointing,
                on_step=Reporter(guard),
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
    origin = origin_of(work, dataset_hash(work))
    # a stop is the leader's to tell, who may still be saving: a helper that failed would end it at once
    with TemporaryDirectory() as nothing_is_kept, suppress(TrainingInterrupted):
        train_adapter(
            adapter_job(work, origin), Path(nothing_is_kept), checkpointing=_checkpointing(work, origin), ranks=join()
        )


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
    if origin.recipe.method in PREFERENCE_METHODS:
        return 1
    return len(wish_in(work.version.settings).gpu_ids) or work.settings.finetune_processes


def _helper(work: Work) -> list[str]:
    named = ["--version", str(work.claim.n), "--fence", str(work.claim.fence), "--parent", str(os.getpid())]
    return [sys.executable, str(ROOT / "train.py"), "--stage", "help", *named]
