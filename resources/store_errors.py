"""What the store can refuse or fail to do."""


class StoreError(Exception):
    """Anything the store says no to."""


class StoreUnavailable(StoreError):
    """The database is gone, locked for too long, or not ours any more: nothing was acknowledged."""


class SchemaTooNew(StoreError):
    """The database was written by a newer release."""


class NotFound(StoreError):
    """No row has this id or number."""


class NotAllowed(StoreError):
    """The row is in a state in which this cannot be done."""


class HeldBack(StoreError):
    """A conversation that no person can let into training as it is; `rule` says why."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


class Fenced(StoreError):
    """Somebody else holds this version by now: whoever gets this must stop writing."""


class AttemptsExhausted(StoreError):
    """The version was tried too often and is failed by now; its conversations wait again."""

    def __init__(self, n: int, attempts: int) -> None:
        super().__init__(f"v{n} failed after {attempts} attempts: its conversations wait again, training is paused")
        self.n = n
        self.attempts = attempts


class VersionBusy(StoreError):
    """Another owner works on the unfinished version and may be alive."""

    def __init__(self, owner: str | None, n: int, beat: int, why: str = "is held") -> None:
        super().__init__(f"v{n} {why} by {owner} (beat {beat}): wait until it is finished, released or dead")
        self.owner = owner
        self.n = n
        self.beat = beat


class VersionStopped(VersionBusy):
    """A person stopped the unfinished version; `resume` continues it."""

    def __init__(self, n: int, beat: int) -> None:
        super().__init__("a person", n, beat, "was stopped")
        self.args = (f"v{n} was stopped by a person: POST /api/v1/admin/finetuning/jobs/{n}/resume lets it go on",)


class DatasetMissing(StoreError):
    """The version has no dataset to train on, or lost it to an erasure; a clean stop, which costs no attempt."""

    error_class = "INTERRUPTED"

    def __init__(self, n: int) -> None:
        super().__init__(f"Expected a dataset of v{n}, found none, or one of which something was erased: make it first")


class CaptureFull(StoreError):
    """So many conversations wait for the store that another would only wait longer."""
