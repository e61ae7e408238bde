import os
import subprocess
import sys

import dagster as dg

from assets.step import PROCESS_TAG, VERSION_TAG, started, this_process
from sensors.reaper import end_runs_without_a_process
from tests.sensors.conftest import Watchtower

STARTED, FAILURE, CANCELED = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED


def reap(tower: Watchtower) -> str:
    context = dg.build_sensor_context(instance=tower.instance)
    answer = end_runs_without_a_process(context, store=tower.store, lease_watch=tower.watch, tracking=tower.tracking)
    assert isinstance(answer, dg.SkipReason)
    return str(answer.skip_message)


def dead_process() -> str:
    """The tag of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    host = this_process().partition(":")[0]
    tag = f"{host}:{child.pid}:{started(child.pid)}"
    child.communicate(b"\n")
    return tag


def test_a_zombie_is_ended_once_its_lease_is_dead(tower: Watchtower) -> None:
    tower.capture(0, 50)
    run = tower.add_run(STARTED, tags={PROCESS_TAG: dead_process(), VERSION_TAG: "1"})
    claim = tower.store.versions.claim(run.run_id)
    assert claim is not None
    tower.tracking.runs["ml-1"] = {"status": "RUNNING"}
    tower.store.versions.set_mlflow_run(claim, "ml-1")
    assert reap(tower) == "every run has its process"
    assert tower.status(run) == STARTED, "its trainer may still be saving a checkpoint"
    tower.now += 15
    assert "had no process any more" in reap(tower)
    assert tower.status(run) == FAILURE
    assert tower.tracking.runs["ml-1"]["status"] == "KILLED"
    assert isinstance(tower.tick(), dg.RunRequest), "the way is free for the next attempt"


def test_a_run_with_a_living_process_is_left_alone_however_silent(tower: Watchtower) -> None:
    run = tower.add_run(STARTED, tags={PROCESS_TAG: this_process()}, started_ago=100_000)
    assert reap(tower) == "every run has its process"
    assert tower.status(run) == STARTED


def test_a_process_number_given_out_again_is_not_the_runs_process(tower: Watchtower) -> None:
    host = this_process().partition(":")[0]
    run = tower.add_run(STARTED, tags={PROCESS_TAG: f"{host}:{os.getpid()}:1"})
    reap(tower)
    assert tower.status(run) == FAILURE


def test_a_run_on_another_machine_is_left_alone(tower: Watchtower) -> None:
    run = tower.add_run(STARTED, tags={PROCESS_TAG: "elsewhere:1:1"})
    reap(tower)
    assert tower.status(run) == STARTED


def test_a_cancelled_zombie_ends_as_cancelled(tower: Watchtower) -> None:
    run = tower.add_run(dg.DagsterRunStatus.CANCELING, tags={PROCESS_TAG: dead_process()})
    reap(tower)
    assert tower.status(run) == CANCELED


def test_a_run_cancelled_in_the_pages_stops_its_version_unless_a_person_let_it_go_on_since(tower: Watchtower) -> None:
    tower.capture(0, 50)
    claim = tower.store.versions.claim("run")
    assert claim is not None
    tower.store.versions.release(claim)
    tower.add_run(CANCELED, tags={VERSION_TAG: "1"})
    assert reap(tower) == "v1 is stopped: its run was cancelled by a person"
    assert tower.store.versions.get(1).desired == "stop"
    tower.store.versions.resume(1)
    assert reap(tower) == "every run has its process"
    assert tower.store.versions.get(1).desired == "run"


def test_a_run_that_never_named_its_process_gets_five_minutes(tower: Watchtower) -> None:
    young, old = tower.add_run(STARTED, started_ago=250), tower.add_run(STARTED, started_ago=350)
    reap(tower)
    assert (tower.status(young), tower.status(old)) == (STARTED, FAILURE)


def test_other_jobs_are_none_of_its_business(tower: Watchtower) -> None:
    run = tower.add_run(STARTED, job="something_else", tags={PROCESS_TAG: dead_process()}, started_ago=9999)
    reap(tower)
    assert tower.status(run) == STARTED


def test_a_version_that_died_in_its_last_attempt_is_failed_and_its_conversations_wait(tower: Watchtower) -> None:
    tower.capture(0, 50)
    for attempt in range(1, 6):
        claim = tower.store.versions.claim(f"run-{attempt}")
        assert claim is not None
        if attempt < 5:
            tower.store.versions.fail(claim, "OUT_OF_MEMORY", "no memory")
    reap(tower)
    tower.now += 15
    assert reap(tower) == "v1 used all its attempts and is failed"
    assert tower.store.versions.get(1).state == "failed"
    assert tower.store.conversations.waiting() == 50


def test_a_last_attempt_whose_process_lives_is_left_alone_however_silent(tower: Watchtower) -> None:
    tower.capture(0, 50)
    run = tower.add_run(STARTED, tags={PROCESS_TAG: this_process(), VERSION_TAG: "1"})
    for attempt in range(1, tower.store.versions.max_attempts):
        claim = tower.store.versions.claim(f"run-{attempt}")
        assert claim is not None
        tower.store.versions.fail(claim, "OUT_OF_MEMORY", "no memory")
    assert tower.store.versions.claim(run.run_id) is not None
    reap(tower)
    tower.now += 15
    assert reap(tower) == "every run has its process"
    assert tower.store.versions.unfinished() is not None
    tower.instance.report_run_failed(run)
    assert reap(tower) == "v1 used all its attempts and is failed"


def test_five_runs_that_fail_before_they_claim_pause_until_a_person_asks_again(tower: Watchtower) -> None:
    tower.capture(0, 50)
    for _ in range(4):
        tower.add_run(FAILURE, tags={VERSION_TAG: "1"})
    assert reap(tower) == "every run has its process"
    tower.add_run(FAILURE, tags={VERSION_TAG: "1"})
    assert "5 runs failed before v1 could begin" in reap(tower)
    assert "paused: 5 runs failed before v1 could begin" in str(tower.tick())
    reap(tower)
    [paused] = tower.store.events.page(type="paused")
    assert "5 runs failed before v1 could begin" in paused.message
    tower.store.pause.clear("a person")
    assert tower.request().run_key == "v1.a5"
    assert reap(tower) == "every run has its process"
    tower.add_run(FAILURE, tags={VERSION_TAG: "1"})
    assert "is tried again in 5 s" in str(tower.tick()), "the count begins anew"


def test_a_trigger_tries_again_what_failed_five_times_before_it(tower: Watchtower) -> None:
    tower.capture(0, 50)
    for _ in range(5):
        tower.add_run(FAILURE, tags={VERSION_TAG: "1"})
    tower.store.triggers.add("finetune", False, {})
    assert reap(tower) == "every run has its process"
    assert isinstance(tower.tick(), dg.RunRequest)
