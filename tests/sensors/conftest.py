import time
from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg
import pytest

from assets.jobs import RETRAIN
from resources.lease_watch import LeaseWatch
from resources.store import Store
from sensors.retrain import retrain_at_batch_threshold
from tests.fakes import FakeTracking
from tests.workshop import conversation

LEASE_SECONDS = 15.0


@dataclass
class Watchtower:
    """Store, Dagster instance and lease watch of one code server; `clock` is its monotonic clock."""

    store: Store
    instance: dg.DagsterInstance
    now: float = 1000.0

    def __post_init__(self) -> None:
        self.watch = LeaseWatch(LEASE_SECONDS, lambda: self.now)
        self.tracking = FakeTracking()

    def capture(self, first: int, last: int) -> None:
        self.store.conversations.capture([conversation(number) for number in range(first, last)])

    def tick(self) -> dg.RunRequest | str:
        """The request, or the sentence that says why there is none."""
        context = dg.build_sensor_context(instance=self.instance)
        answer = retrain_at_batch_threshold(context, store=self.store, lease_watch=self.watch)
        if isinstance(answer, dg.RunRequest):
            return answer
        assert isinstance(answer, dg.SkipReason)
        return str(answer.skip_message)

    def request(self) -> dg.RunRequest:
        answer = self.tick()
        assert isinstance(answer, dg.RunRequest), answer
        return answer

    def add_run(
        self,
        status: dg.DagsterRunStatus,
        *,
        job: str = RETRAIN,
        tags: dict[str, str] | None = None,
        run_id: str | None = None,
        started_ago: float | None = None,
    ) -> dg.DagsterRun:
        """A run as Dagster's storage would hold it."""
        # the storage keeps the order of runs by insertion; two runs need two ids
        run = dg.DagsterRun(job_name=job, run_id=run_id, tags=tags or {}, status=dg.DagsterRunStatus.NOT_STARTED)
        self.instance.add_run(run)
        start = time.time() - started_ago if started_ago is not None else None
        reports = {
            dg.DagsterRunStatus.FAILURE: self.instance.report_run_failed,
            dg.DagsterRunStatus.CANCELED: self.instance.report_run_canceled,
            dg.DagsterRunStatus.CANCELING: self.instance.report_run_canceling,
        }
        if status in reports:
            reports[status](run)
        elif status == dg.DagsterRunStatus.STARTED:
            self._report_started(run, start)
        return run

    def status(self, run: dg.DagsterRun) -> dg.DagsterRunStatus:
        found = self.instance.get_run_by_id(run.run_id)
        assert found is not None
        return found.status

    def _report_started(self, run: dg.DagsterRun, start: float | None) -> None:
        event = dg.DagsterEvent(
            event_type_value=dg.DagsterEventType.RUN_START.value, job_name=run.job_name, message="started"
        )
        self.instance.report_dagster_event(event, run.run_id, timestamp=start)


@pytest.fixture
def tower(sqlite_store: Store) -> Iterator[Watchtower]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Watchtower(sqlite_store, instance)
