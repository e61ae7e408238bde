"""The stage that measures what was trained, for its verdict or once more."""

import logging
import time
from collections.abc import Mapping, Sequence

from core.conversation import Conversation
from core.gate import Evaluation
from core.judging import Prefer
from core.recipe import Recipe
from resources import adapters, datasets, folders, trained
from resources.golden_sets import golden_conversations
from resources.judge import Judge
from resources.process import sign_of_life
from resources.reference_sets import GENERAL, read_probes, read_set
from resources.settings import Settings
from resources.trainer_guard import TrainerGuard
from stages.work import Work
from wrappers.evaluation import EvaluationJob, evaluate_adapter, refused

logger = logging.getLogger("train")


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
