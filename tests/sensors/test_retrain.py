from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from assets.step import DEAD_BEAT_TAG, TRIGGER_TAG, VERSION_TAG
from core.wish import Wish
from resources.progress import Progress
from resources.store import StoreUnavailable
from sensors.loop_state import AD_HOC_JOB, gather
from tests.sensors.conftest import Watchtower
from tests.workshop import conversation

FAILURE, CANCELED, STARTED = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.STARTED


def test_below_the_threshold_it_counts(tower: Watchtower) -> None:
    assert tower.tick() == "no eligible conversation waits"
    tower.capture(0, 49)
    assert tower.tick() == "49 of 50 eligible conversations"


def test_a_job_goes_below_the_threshold_and_its_run_knows_for_whom_it_was_started(tower: Watchtower) -> None:
    tower.capture(0, 2)
    tower.store.jobs.ask(Wish(job_name="small"))
    assert tower.request().tags[TRIGGER_TAG] == "1"
    tower.store.jobs.cancel(1, "not needed")
    assert tower.tick() == "2 of 50 eligible conversations"


def test_a_full_batch_requests_the_next_version_and_reads_only(tower: Watchtower) -> None:
    tower.capture(0, 50)
    request = tower.request()
    assert request.run_key == "v1.a0"
    assert request.tags[VERSION_TAG] == "1"
    assert request.tags["dagster/max_retries"] == "0"
    assert tower.request().run_key == "v1.a0", "a preview in Dagster's pages changes nothing"
    assert tower.store.versions.unfinished() is None


def test_the_batch_size_is_read_at_each_tick(tower: Watchtower) -> None:
    tower.capture(0, 10)
    assert isinstance(tower.tick(), str)
    tower.store.settings.change({"finetune_batch_size": 10}, "a person")
    assert isinstance(tower.tick(), dg.RunRequest)
    tower.store.settings.change({"finetune_auto_trigger": False}, "a person")
    assert "switched off" in str(tower.tick())


def test_a_forced_trigger_goes_below_the_threshold(tower: Watchtower) -> None:
    tower.capture(0, 3)
    tower.store.triggers.add("finetune", True, {})
    assert "by force" in tower.request().tags["whetstone/reason"]


@pytest.mark.parametrize("job", ["retrain", AD_HOC_JOB])
def test_one_run_at_a_time_whoever_started_it(tower: Watchtower, job: str) -> None:
    tower.capture(0, 50)
    tower.add_run(dg.DagsterRunStatus.NOT_STARTED, job=job, run_id="abcdefgh-1")
    assert tower.tick() == "run abcdefgh is in flight; 50 eligible conversations waiting"


def test_somebody_elses_job_does_not_stand_in_the_way(tower: Watchtower) -> None:
    tower.capture(0, 50)
    tower.add_run(STARTED, job="something_else")
    assert isinstance(tower.tick(), dg.RunRequest)


def test_a_live_lease_is_waited_for_and_a_dead_one_taken_over(tower: Watchtower) -> None:
    tower.capture(0, 50)
    tower.store.versions.claim("an orphan")
    assert tower.tick() == "v1 is being trained by an orphan; 0 eligible conversations waiting"
    tower.now += 15
    version = tower.store.versions.get(1)
    request = tower.request()
    assert request.tags[DEAD_BEAT_TAG] == str(version.beat)
    assert "goes on" in request.tags["whetstone/reason"]


def test_the_dead_beat_is_the_one_that_was_watched_even_if_it_moves_in_this_moment(
    tower: Watchtower, monkeypatch: pytest.MonkeyPatch
) -> None:
    tower.capture(0, 50)
    claim = tower.store.versions.claim("a slow one")
    assert claim is not None
    tower.tick()
    tower.now += 15
    watched, latest = tower.store.versions.get(1).beat, tower.store.progress.latest

    def wake_up() -> Progress | None:
        tower.store.versions.hold(claim)
        return latest()

    monkeypatch.setattr(tower.store.progress, "latest", wake_up)
    assert tower.request().tags[DEAD_BEAT_TAG] == str(watched)
    assert tower.store.versions.get(1).beat > watched


def test_a_failed_attempt_is_tried_again_after_its_pause(tower: Watchtower) -> None:
    tower.capture(0, 50)
    tower.add_run(FAILURE, tags={VERSION_TAG: "1"})
    claim = tower.store.versions.claim("run")
    assert claim is not None
    tower.store.versions.fail(claim, "OUT_OF_MEMORY", "no memory")
    assert tower.tick() == "v1 is tried again in 5 s"
    tower.now += 5.1
    request = tower.request()
    assert request.run_key == "v1.a1", "a new key for each attempt"
    assert DEAD_BEAT_TAG not in request.tags


def test_who_resumes_a_failed_attempt_waits_for_no_pause_and_uses_up_no_attempt(tower: Watchtower) -> None:
    tower.capture(0, 50)
    claim = tower.store.versions.claim("run-1")
    assert claim is not None
    tower.store.versions.fail(claim, "DISK_ERROR", "no space left")
    tower.add_run(FAILURE, tags={VERSION_TAG: "1"})
    assert "is tried again in" in str(tower.tick())
    tower.store.jobs.resume(1)
    assert isinstance(tower.tick(), dg.RunRequest)
    again = tower.store.versions.claim("run-2")
    assert again is not None
    assert again.attempt == 1


def test_a_run_that_fails_before_it_claims_is_tried_five_times_with_pauses(tower: Watchtower) -> None:
    tower.capture(0, 50)
    later = datetime.now(UTC) + timedelta(hours=1)
    for attempt in range(5):
        state = gather(tower.instance, tower.store, tower.watch, later)
        assert (state.attempts, state.backoff_seconds_left) == (attempt, 0)
        tower.add_run(FAILURE, tags={VERSION_TAG: "1"})
        assert "is tried again in" in str(tower.tick()) or attempt == 4
    assert "used all its 5 attempts" in str(tower.tick())


def test_a_cancelled_run_is_not_fought_until_a_person_resumes(tower: Watchtower) -> None:
    tower.capture(0, 50)
    tower.add_run(CANCELED, tags={VERSION_TAG: "1"})
    claim = tower.store.versions.claim("run")
    assert claim is not None
    tower.store.versions.release(claim)
    assert "was cancelled by a person" in str(tower.tick())
    tower.store.versions.resume(1)
    assert tower.request().run_key == "v1.a1"


def test_a_trigger_is_for_another_version_than_the_cancelled_one(tower: Watchtower) -> None:
    tower.capture(0, 50)
    tower.add_run(CANCELED, tags={VERSION_TAG: "1"})
    claim = tower.store.versions.claim("run")
    assert claim is not None
    tower.store.versions.release(claim)
    tower.store.triggers.add("finetune", True, {})
    assert "was cancelled by a person: resume or cancel the version" in str(tower.tick())


def test_a_cancelled_run_is_not_fought_until_a_person_triggers(tower: Watchtower) -> None:
    tower.capture(0, 50)
    tower.add_run(CANCELED, tags={VERSION_TAG: "1"})
    assert "was cancelled by a person" in str(tower.tick())
    tower.store.triggers.add("finetune", False, {})
    assert isinstance(tower.tick(), dg.RunRequest)


def test_a_version_a_person_stopped_stays_stopped(tower: Watchtower) -> None:
    tower.capture(0, 50)
    claim = tower.store.versions.claim("run")
    assert claim is not None
    tower.store.versions.stop(1)
    tower.store.versions.release(claim)
    assert "was stopped by a person" in str(tower.tick())


def test_what_came_during_a_run_is_one_version_afterwards(tower: Watchtower) -> None:
    tower.capture(0, 50)
    assert tower.store.versions.claim("run") is not None
    for number in range(50, 200):
        tower.store.conversations.capture([conversation(number)])
    tower.store.versions.abandon(1, "for this test")
    tower.store.pause.clear("a person")
    assert tower.request().run_key == "v2.a0"
    assert tower.store.versions.claim("run-2") is not None
    assert len(tower.store.versions.rows(2)) == 200


def test_without_a_store_the_tick_says_so(tower: Watchtower, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> int:
        raise StoreUnavailable("no such file")

    monkeypatch.setattr(tower.store.conversations, "waiting", gone)
    assert tower.tick() == "the store does not answer: no such file"


def test_a_clock_that_was_set_back_holds_nothing_up(tower: Watchtower) -> None:
    """What ended in the future ended an unknown time ago: nobody waits until the clock has caught up."""
    tower.store.settings.change({"finetune_min_interval_seconds": 60}, "a person")
    tower.capture(0, 50)
    tower.add_run(FAILURE, tags={VERSION_TAG: "1"})
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    assert gather(tower.instance, tower.store, tower.watch).backoff_seconds_left > 0
    assert gather(tower.instance, tower.store, tower.watch, an_hour_ago).backoff_seconds_left == 0
    claim = tower.store.versions.claim("run")
    assert claim is not None
    tower.store.versions.abandon(1, "for this test")
    assert gather(tower.instance, tower.store, tower.watch).seconds_since_finished is not None
    assert gather(tower.instance, tower.store, tower.watch, an_hour_ago).seconds_since_finished is None
