"""Every fault by name: where it strikes, what it does, and which of them fit into one version."""

import errno
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Database = Literal["sqlite", "postgres"]
Model = Literal["small", "real"]
DATABASES: tuple[Database, ...] = ("sqlite", "postgres")
TRAINER = "train.py"


@dataclass(frozen=True)
class Fault:
    """`point` is where a process is struck with `action`; `then` names what the harness does as soon as it is.

    `attempts` is how many tries of a version it may use up.
    """

    name: str
    point: str
    action: str = "kill"
    then: str = ""
    more: dict[str, Any] = field(default_factory=dict)
    attempts: int = 1
    databases: tuple[Database, ...] = DATABASES
    model: Model = "small"


def _kill(name: str, point: str, attempts: int = 1, **more: Any) -> Fault:
    return Fault(f"kill {name}", point, more=more, attempts=attempts)


def _trainer(name: str, point: str, skip: int = 0) -> Fault:
    return _kill(f"trainer {name}", point, process=TRAINER, skip=skip)


# In the order in which a version comes to them.
IN_ORDER: tuple[Fault, ...] = (
    _kill("the sender before its conversations are committed", "capture_transaction.after", attempts=0),
    _kill("the sender before they are acknowledged", "capture.after", attempts=0),
    _kill("the daemon when its tick is created", "tick.TICK_CREATED", attempts=0),
    _kill("the daemon when its tick is held", "tick.TICK_HELD", attempts=0),
    _kill("the daemon before run ids are reserved", "tick.AUTOMATION_EVALUATIONS_ADDED", attempts=0),
    _kill("the daemon when run ids are reserved", "tick.RUN_IDS_RESERVED", attempts=0),
    _kill("the daemon when the run is created", "tick.RUN_CREATED", attempts=0),
    _kill("the daemon when the run is queued", "tick.RUN_LAUNCHED", attempts=0),
    _kill("the daemon before the run is launched", "launch.before", attempts=0),
    _kill("the daemon after the run is launched", "launch.after"),
    _kill("the worker before the claim", "claim.before", attempts=0),
    _kill("the worker in the claim, before its commit", "claim_transaction.after", attempts=0),
    _kill("the worker after the claim", "claim.after"),
    _kill("the worker before a screened piece is stored", "screen.before"),
    _kill("the worker after a screened piece is stored", "screen.after"),
    _kill("the worker between writing the dataset and its rename", "dataset.rename.before"),
    _kill("the worker after the dataset's rename", "dataset.rename.after"),
    _kill("the worker after the dataset is noted", "set_dataset.after"),
    _kill("the worker between opening the MLflow run and noting it", "open_run.after"),
    _kill("the worker before the trainer is started", "trainer.before"),
    _trainer("during training", "step.after", skip=3),
    _trainer("between writing a checkpoint and its rename", "checkpoint_folder.rename.before"),
    _trainer("after a checkpoint's rename", "checkpoint_folder.rename.after", skip=1),
    _trainer("before the adapter is written", "save_adapter.before"),
    _trainer("between writing the adapter and its rename", "adapter.rename.before"),
    _trainer("between the adapter's rename and the end of its stage", "adapter.rename.after"),
    _kill("the worker between the trained adapter and its mark", "mark_trained.before"),
    _kill("the worker after the version is marked trained", "mark_trained.after"),
    _trainer("before it evaluates", "evaluate.before"),
    _trainer("between writing the evaluation and its rename", "report.rename.before"),
    _kill("the worker before the verdict is stored", "set_verdict.before"),
    _kill("the worker after the verdict is stored", "set_verdict.after"),
    _kill("the worker between logged model and registered version", "logged_model.after"),
    _kill("the worker between registered version and promotion", "register.after"),
    _kill("the worker in the promotion, before its commit", "conclude_transaction.after"),
    _kill("the worker after the promotion", "conclude.after", attempts=0),
    _kill("the ingress between intending an alias and setting it", "intend_alias.after", attempts=0),
    _kill("the ingress between setting an alias and noting it", "alias.after", attempts=0),
    _kill("the ingress after the alias is noted", "confirm_alias.after", attempts=0),
)
FULL_DISK = {"errno": errno.ENOSPC}
# Beyond a kill.
ALONE: tuple[Fault, ...] = (
    Fault("an old trainer wakes after its lease, in training", "step.after", "orphan", "wake_later"),
    Fault("an old trainer wakes about to show a checkpoint", "checkpoint_folder.rename.before", "orphan", "wake_later"),
    Fault("an old trainer wakes about to publish what it trained", "publish.before", "orphan", "wake_later"),
    Fault("an old trainer wakes about to show its adapter", "adapter.rename.before", "orphan", "wake_later"),
    Fault("an old trainer wakes about to show its evaluation", "report.rename.before", "orphan", "wake_later"),
    Fault("the same run is launched twice", "launch.before", "twice"),
    Fault("a tick is doubled: a second run of the same version", "claim.after", "hold", "second_run"),
    Fault("two daemons at once", "tick.TICK_CREATED", "hold", "second_daemon"),
    Fault("the disk is full while a checkpoint is written", "checkpoint.before", "raise", more=FULL_DISK),
    Fault("the disk is full while the adapter is written", "save_adapter.before", "raise", more=FULL_DISK),
    Fault("the disk is full while the dataset is written", "dataset.rename.before", "raise", more=FULL_DISK),
    Fault("the newest checkpoint is torn", "checkpoint_folder.rename.after", "hold", "tear_checkpoint", {"skip": 1}),
    Fault("MLflow is down from the claim on", "claim.after", "hold", "mlflow_away"),
    Fault("MLflow is down from the verdict on", "set_verdict.after", "hold", "mlflow_away"),
    Fault("the clock is set back an hour before the claim", "claim.before", "hold", "clock_back"),
    Fault("the clock is set back an hour in training", "step.after", "hold", "clock_back", {"process": TRAINER}),
    Fault("machine restart before the claim", "claim.before", "hold", "lose_power"),
    Fault("machine restart after the claim", "claim.after", "hold", "lose_power"),
    Fault("machine restart in training", "step.after", "hold", "lose_power", {"process": TRAINER, "skip": 3}),
    Fault("machine restart after the adapter's rename", "adapter.rename.after", "hold", "lose_power"),
    Fault("machine restart between registration and promotion", "register.after", "hold", "lose_power"),
    Fault("machine restart after the promotion", "conclude.after", "hold", "lose_power"),
    Fault("kill the code server in training", "step.after", "hold", "kill_code_server", {"process": TRAINER}),
    Fault("kill the daemon in training", "step.after", "hold", "kill_daemon", {"process": TRAINER}),
    Fault("random kills all along", "claim.after", "hold", "random_kills"),
    Fault("another program locks the store", "claim.after", "hold", "lock_store", databases=("sqlite",)),
    Fault("the database ends every connection", "step.after", "hold", "end_connections", databases=("postgres",)),
)  # fmt: skip
SMALL = (*IN_ORDER, *ALONE)
# What a model of some size makes different: longer steps, larger files, minutes of evaluation.
WITH_THE_REAL_MODEL = (
    "kill trainer during training",
    "kill trainer between writing a checkpoint and its rename",
    "kill trainer between writing the adapter and its rename",
    "kill trainer between the adapter's rename and the end of its stage",
    "kill the worker between the trained adapter and its mark",
    "kill the worker between registered version and promotion",
    "kill the ingress between setting an alias and noting it",
    "an old trainer wakes after its lease, in training",
    "the newest checkpoint is torn",
    "machine restart in training",
)
REAL = tuple(
    replace(fault, name=f"SmolLM2-135M: {fault.name}", model="real", databases=("sqlite",))
    for fault in SMALL
    if fault.name in WITH_THE_REAL_MODEL
)
NAMED = (*SMALL, *REAL)
# in one version, of which `MOST_OTHERS` are more than a kill
MOST_FAULTS, MOST_OTHERS, MOST_ATTEMPTS = 7, 3, 4
# where nobody comes to while MLflow is away
AT_MLFLOW = ("open_run", "logged_model", "register", "intend_alias", "alias", "confirm_alias")
# what goes on until the version is decided, or is set right only then
LASTING = ("wake_later", "second_daemon", "mlflow_away", "random_kills", "lock_store")


def groups(faults: Sequence[Fault], seed: int) -> list[list[Fault]]:
    """Faults of one model by version, some that strike one after the other; which, is drawn.

    No two strike at one point, together they leave a version an attempt, and of those that last until the version is
    decided there is one, with kills alone: a machine that restarts would end what lasts before it is seen.
    """
    place = {fault.point: at for at, fault in enumerate(IN_ORDER)}
    waiting = list(faults)
    random.Random(seed).shuffle(waiting)
    # those that fit with the fewest others choose first
    waiting.sort(key=lambda fault: (fault.then not in LASTING, _is_a_kill(fault)))
    found = []
    while waiting:
        group: list[Fault] = []
        for fault in list(waiting):
            if _fits(fault, group):
                group.append(fault)
                waiting.remove(fault)
        found.append(sorted(group, key=lambda fault: place.get(fault.point, len(place))))
    return found


def _fits(fault: Fault, group: Sequence[Fault]) -> bool:
    together = [*group, fault]
    others = [one for one in together if not _is_a_kill(one)]
    return (
        len(together) <= MOST_FAULTS
        and len({one.point for one in together}) == len(together)
        and sum(one.attempts for one in together) <= MOST_ATTEMPTS
        and len(others) <= (1 if any(one.then in LASTING for one in others) else MOST_OTHERS)
        and not (any(one.then == "mlflow_away" for one in others) and any(map(_is_at_mlflow, together)))
    )


def _is_at_mlflow(fault: Fault) -> bool:
    return fault.point.rpartition(".")[0] in AT_MLFLOW


def _is_a_kill(fault: Fault) -> bool:
    return fault.action == "kill" and not fault.then
