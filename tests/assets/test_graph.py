"""Whole runs of the graph: what they leave in the store, on disk, in MLflow and on Dagster's pages."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import dagster as dg
import pytest

from assets.adapters import lora_adapter
from assets.conversations import raw_conversations
from assets.datasets import validated_dataset
from assets.models import registered_model
from assets.reports import evaluation_report
from assets.step import PROGRESS_TAG, RE_EXECUTED_TAG, TRIGGER_TAG, VERSION_TAG
from core.sides import SIDES
from core.wish import Wish
from resources import datasets, folders
from resources.erasing import finish, places_of
from resources.progress import Progress
from resources.store import Fenced, NotAllowed
from resources.trainer import TrainerFailed
from resources.versions import Claim
from tests.assets.conftest import Finished
from tests.own_names import read_own
from tests.workshop import GRAPH, Workshop

pytestmark = pytest.mark.slow  # whole runs; the quick one is in test_one_run.py


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, object]:
    [event] = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in event.metadata.items()}


def test_one_run_makes_a_version_out_of_everything_that_waits(finished: Finished) -> None:
    shop = finished.shop
    assert finished.result.success
    version = shop.store.versions.get(1)
    assert (version.state, version.attempts, version.mlflow_version) == ("promoted", 1, "11")
    assert shop.store.champion.get().n == 1
    assert shop.store.conversations.waiting() == 0
    dataset = shop.settings.state_dir / "datasets" / "v1"
    sides = [read_own(shop.store, dataset, side) for side in SIDES]
    assert sorted(c.id for side in sides for c in side) == [f"c{n:04d}" for n in range(60)]
    assert version.dataset_hash == datasets.read_manifest(dataset).dataset_hash


def test_the_pages_tell_counts_verdict_and_links(finished: Finished) -> None:
    raw = metadata(finished.result, "raw_conversations")
    assert (raw["conversations"], raw["captured_so_far"], raw["eligible_so_far"]) == (60, 60, 60)
    data = metadata(finished.result, "validated_dataset")
    assert (data["claimed"], data["accepted"], data["rejected"]) == (60, 60, 0)
    assert sum(data[side] for side in SIDES) == 60  # type: ignore[misc]
    adapter = metadata(finished.result, "lora_adapter")
    assert adapter["steps"] == 10
    assert str(adapter["loss_curve"]).startswith("![Training loss](data:image/png;base64,")
    report = metadata(finished.result, "evaluation_report")
    assert report["verdict"] == "promoted"
    assert "## What the gate asked" in str(report["report"])
    model = metadata(finished.result, "registered_model")
    assert (model["mlflow_run"], model["mlflow_model"]) == ("http://mlflow/runs/run-1", "http://mlflow/models/11")
    assert model["champion"] == "v1"
    assert all(len(str(value)) < 200_000 for value in (adapter["loss_curve"], report["report"]))


def test_the_run_carries_its_version_and_its_progress(finished: Finished) -> None:
    run = finished.shop.instance.get_run_by_id(finished.result.run_id)
    assert run is not None
    assert run.tags[VERSION_TAG] == "1"
    assert run.tags[PROGRESS_TAG] == "10/10 eta 0s"


def test_the_mlflow_run_has_parameters_curve_report_and_an_end(finished: Finished) -> None:
    run = finished.shop.tracking.runs["run-1"]
    assert (run["status"], run["name"], run["steps"]) == ("FINISHED", "v1", set(range(1, 11)))
    assert run["params"]["rank"] == 2
    assert "report/report.md" in run["artifacts"]
    assert run["tags"]["verdict"] == "promoted"
    assert run["metrics"]["held_out_loss_vs_champion.estimate"] == pytest.approx(-0.502, abs=0.001)
    assert finished.shop.registry.tags[1]["whetstone.version"] == "1"


def test_the_second_version_is_compared_with_the_first_and_trained_on_all(shop: Workshop) -> None:
    shop.capture(0, 60)
    shop.run()
    shop.capture(60, 80)
    assert shop.run().success
    data = datasets.read_manifest(shop.settings.state_dir / "datasets" / "v2").counts
    assert (data["claimed"], data["from_earlier_versions"], sum(data[side] for side in SIDES)) == (20, 60, 80)
    assert shop.store.champion.get().n == 2
    first, second = (shop.settings.state_dir / "datasets" / f"v{n}" for n in (1, 2))
    held_out = {c.id for c in datasets.read_held_out(first)}
    assert held_out <= {c.id for c in datasets.read_held_out(second)}, "a side once given never changes"


def test_a_champion_moved_after_the_evaluation_is_compared_with_before_anything_is_promoted(shop: Workshop) -> None:
    shop.capture(0, 60)
    shop.run()
    shop.capture(60, 120)
    shop.run(GRAPH[:-1])
    shop.store.champion.move(None, "start again", "a person")
    result = shop.run([registered_model])
    assert "to answer still, found base: evaluate again" in shop.failure(result)
    assert shop.store.champion.get().n is None
    assert shop.run().success
    assert (shop.store.versions.get(2).state, shop.store.champion.get().n) == ("promoted", 2)


def test_the_report_says_what_each_version_was_trained_from(shop: Workshop) -> None:
    shop.store.settings.change({"start_from": "champion"}, "a person")
    for first, found in ((0, "the base"), (60, "v1")):
        shop.capture(first, first + 60)
        assert f"| trained from | {found} |" in str(metadata(shop.run(), "evaluation_report")["report"])


def test_nothing_waiting_fails_in_one_sentence(shop: Workshop) -> None:
    result = shop.run()
    assert not result.success
    assert shop.failure(result) == "Nothing eligible waits and no version is unfinished: send conversations first"


def test_a_later_asset_alone_never_opens_a_version(shop: Workshop) -> None:
    shop.capture(0, 60)
    result = shop.run([lora_adapter])
    assert "materialise raw_conversations first" in shop.failure(result)
    assert shop.store.versions.unfinished() is None


def test_each_asset_can_be_materialised_alone_for_the_unfinished_version(shop: Workshop) -> None:
    shop.capture(0, 60)
    for asset in GRAPH:
        assert shop.run([asset]).success, asset.key
    version = shop.store.versions.get(1)
    assert (version.state, version.attempts) == ("promoted", 1)
    assert shop.trainer.ran == [("train", 1), ("evaluate", 1)]


def test_what_is_trained_is_not_trained_again(shop: Workshop) -> None:
    shop.capture(0, 60)
    shop.run([raw_conversations, validated_dataset, lora_adapter])
    assert shop.run([lora_adapter]).success
    assert shop.run().success
    assert [stage for stage, _ in shop.trainer.ran].count("train") == 1


def test_a_failed_training_is_an_attempt_and_the_next_run_finishes_the_same_version(shop: Workshop) -> None:
    shop.capture(0, 60)
    shop.trainer.raises = TrainerFailed("OUT_OF_MEMORY", "no memory left", -9)
    result = shop.run()
    assert shop.failure(result) == "OUT_OF_MEMORY: no memory left"
    [failed] = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    shown = {name: value.value for name, value in failed.user_failure_data.metadata.items()}
    assert (shown["error_class"], "half the length" in shown["what_to_do"]) == ("OUT_OF_MEMORY", True)
    version = shop.store.versions.get(1)
    assert (version.state, version.released, version.error_class) == ("open", True, "OUT_OF_MEMORY")
    assert shop.tracking.runs["run-1"]["status"] == "FAILED"
    shop.capture(60, 90)
    assert shop.run().success
    version = shop.store.versions.get(1)
    assert (version.state, version.attempts) == ("promoted", 2)
    assert shop.store.conversations.waiting() == 30, "what came meanwhile waits for the next version"
    assert list(shop.tracking.runs) == ["run-1"], "the MLflow run is resumed"


def test_after_the_last_attempt_the_version_is_failed_and_its_conversations_wait_again(shop: Workshop) -> None:
    shop.capture(0, 60)
    for _ in range(5):
        shop.trainer.raises = TrainerFailed("DISK_ERROR", "no space left", 1)
        shop.run()
    assert shop.store.versions.get(1).state == "failed"
    assert shop.store.conversations.waiting() == 60
    assert shop.store.pause.get() is not None


def test_a_person_who_stops_it_costs_no_attempt(shop: Workshop) -> None:
    shop.capture(0, 60)
    shop.trainer.raises = TrainerFailed("INTERRUPTED", "told to stop", 143)
    shop.run()
    version = shop.store.versions.get(1)
    assert (version.released, version.error, version.attempts) == (True, None, 1)
    assert shop.tracking.runs["run-1"]["status"] == "KILLED", "nothing failed"
    shop.store.versions.stop(1)
    assert "was stopped by a person" in shop.failure(shop.run())
    shop.store.versions.resume(1)
    assert shop.run().success
    assert shop.store.versions.get(1).attempts == 1


def test_a_jobs_name_is_its_runs_and_a_cancelled_one_begins_nothing(shop: Workshop) -> None:
    shop.capture(0, 60)
    shop.store.jobs.ask(Wish(job_name="support-ko", recipe={"max_length": 256}))
    assert shop.run(tags={TRIGGER_TAG: "1"}).success
    assert shop.tracking.runs["run-1"]["tags"]["job_name"] == "support-ko"
    assert (shop.store.versions.get(1).screened_with or {})["max_tokens"] == 256
    shop.capture(60, 70)
    shop.store.jobs.ask(Wish())
    shop.store.jobs.cancel(2, "not needed")
    assert "started for was cancelled" in shop.failure(shop.run(tags={TRIGGER_TAG: "2"}))
    assert shop.store.conversations.waiting() == 10


class Terminated(BaseException):
    """What Dagster throws into a step."""


@pytest.mark.parametrize("by_a_person", [True, False])
def test_a_run_terminated_in_the_pages_stops_its_version_and_a_shutdown_does_not(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, by_a_person: bool
) -> None:
    shop.capture(0, 60)

    def terminate(stage: str, claim: Claim, on_progress: object = None) -> None:
        if by_a_person:
            run = shop.instance.get_run_by_id(str(shop.store.versions.get(claim.n).owner))
            assert run is not None
            shop.instance.report_run_canceling(run)
        raise Terminated

    with monkeypatch.context() as patched:
        patched.setattr(shop.trainer, "run", terminate)
        with suppress(Terminated):
            shop.run()
    version = shop.store.versions.get(1)
    assert (version.released, version.error, version.attempts) == (True, None, 1)
    assert version.desired == ("stop" if by_a_person else "run")
    shop.store.versions.resume(1)
    assert shop.run().success


def test_a_terminated_run_started_once_more_goes_on_and_a_later_stop_holds(shop: Workshop) -> None:
    shop.capture(0, 60)
    shop.trainer.raises = TrainerFailed("INTERRUPTED", "told to stop", 143)
    shop.run()
    shop.store.versions.stop(1)
    assert "lets it go on" in shop.failure(shop.run()), "Materialize is no resume"
    again = {RE_EXECUTED_TAG: "the first run", VERSION_TAG: "1", TRIGGER_TAG: "99"}
    assert shop.run(tags=again).success
    assert shop.store.versions.get(1).attempts == 1
    shop.capture(60, 70)
    assert shop.run(tags={**again, VERSION_TAG: "2"}).success, "its first trigger is not what a person asks for now"


def test_a_stop_said_after_a_run_was_started_once_more_holds(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.capture(0, 60)
    shop.trainer.raises = TrainerFailed("INTERRUPTED", "told to stop", 143)
    shop.run()
    begin = raw_conversations_begins_after(monkeypatch, lambda: shop.store.versions.stop(1))
    assert "was stopped by a person" in shop.failure(shop.run(tags={RE_EXECUTED_TAG: "x", VERSION_TAG: "1"}))
    assert begin


def raw_conversations_begins_after(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> list[str]:
    """Something happens between the start of the run and its first look at the version."""
    seen: list[str] = []

    def this_process() -> str:
        if not seen:
            happens()
        seen.append("x")
        return "here:1:1"

    monkeypatch.setattr("assets.step.this_process", this_process)
    return seen


def test_a_version_cancelled_while_it_trains_is_named_as_such_and_its_mlflow_run_is_killed(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.capture(0, 60)

    def cancelled(stage: str, claim: Claim, on_progress: object = None) -> None:
        shop.store.jobs.cancel(claim.n, "wrong data")
        raise Fenced("The trainer of v1 stopped")

    monkeypatch.setattr(shop.trainer, "run", cancelled)
    said = shop.failure(shop.run())
    assert said == "v1 was given up (wrong data): its conversations wait for the next version"
    assert shop.tracking.runs["run-1"]["status"] == "KILLED"
    assert shop.store.conversations.waiting() == 60


def test_with_mlflow_away_the_version_is_trained_judged_and_promoted(shop: Workshop) -> None:
    shop.capture(0, 60)
    shop.tracking.away = shop.registry.away = True
    result = shop.run()
    assert result.success
    assert shop.store.versions.get(1).mlflow_version is None
    assert shop.store.champion.get().n == 1
    assert "registered when it is back" in str(metadata(result, "registered_model")["registry_version"])


def test_mlflow_that_comes_back_before_the_end_gets_curve_and_version(shop: Workshop) -> None:
    shop.capture(0, 60)
    shop.tracking.away = True
    shop.run([raw_conversations, validated_dataset, lora_adapter])
    shop.tracking.away = False
    assert shop.run([evaluation_report, registered_model]).success
    assert shop.tracking.runs["run-1"]["steps"] == set(range(1, 11))
    assert shop.store.versions.get(1).mlflow_version == "11"


def test_a_held_version_is_taken_over_only_when_its_beat_stands_still(shop: Workshop) -> None:
    shop.capture(0, 60)
    shop.store.versions.claim("a run that died")
    result = shop.run()
    assert result.success
    version = shop.store.versions.get(1)
    assert (version.state, version.attempts) == ("promoted", 2)


def test_rejected_conversations_are_counted_by_reason_and_kept_out(shop: Workshop) -> None:
    shop.capture(0, 60)
    shop.capture(60, 63, reply="```unclosed")
    shop.capture(63, 64, reply=" ".join(f"word{n}" for n in range(600)))
    result = shop.run()
    data = metadata(result, "validated_dataset")
    assert (data["claimed"], data["accepted"], data["rejected"]) == (64, 60, 4)
    assert "| unclosed_code_fence | 3 |" in str(data["rejection_reasons"])
    assert "| too_many_tokens | 1 |" in str(data["rejection_reasons"])
    assert shop.store.versions.get(1).counts["reasons"] == {"unclosed_code_fence": 3, "too_many_tokens": 1}


@pytest.mark.parametrize("start_from", ["base", "champion"])
def test_a_version_without_anything_to_train_on_is_rejected_in_a_green_run(shop: Workshop, start_from: str) -> None:
    if start_from == "champion":
        shop.capture(100, 160)
        shop.run()
        shop.store.settings.change({"start_from": "champion"}, "a person")
    shop.trainer.ran.clear()
    shop.capture(0, 5, reply="```unclosed")
    result = shop.run()
    assert result.success
    n = 2 if start_from == "champion" else 1
    version = shop.store.versions.get(n)
    assert (version.state, version.attempts, version.adapter_sha256) == ("rejected", 1, None)
    assert version.verdict is not None
    assert "not enough evidence" in version.verdict.reasons[0]
    assert shop.trainer.ran == []
    assert (shop.store.conversations.waiting(), len(shop.store.versions.rows(n))) == (0, 5), "they stay claimed"
    with pytest.raises(NotAllowed, match="trained"):
        shop.store.champion.move(n, "I like it", "a person", override=True)


def test_an_ad_hoc_run_meeting_a_live_lease_says_who_holds_it(shop: Workshop) -> None:
    shop.capture(0, 60)
    other = shop.store.versions.claim("run-of-somebody-else")
    assert other is not None
    result = shop.run(tags={"whetstone/dead_beat": "999"})
    assert "held by run-of-somebody-else" in shop.failure(result)
    assert shop.store.versions.hold(other), "the owner was not disturbed"


def test_registered_model_without_a_verdict_names_what_is_missing(shop: Workshop) -> None:
    shop.capture(0, 60)
    shop.run([raw_conversations, validated_dataset, lora_adapter])
    assert "materialise evaluation_report first" in shop.failure(shop.run([registered_model]))


def test_a_champion_is_copied_before_its_successor_where_that_was_asked_for(shop: Workshop) -> None:
    shop.capture(0, 60)
    shop.store.triggers.add("api", True, {"backup_existing": True})
    assert shop.run().success, "with no champion there is nothing to copy"
    shop.capture(60, 80)
    shop.run()
    backups = shop.settings.state_dir / "backups"
    assert not backups.exists(), "nobody asked for a copy of v1"
    shop.capture(80, 100)
    shop.store.triggers.add("api", True, {"backup_existing": True})
    assert shop.run().success
    assert shop.store.champion.get().n == 3
    original = shop.settings.state_dir / "adapters" / "v2"
    assert [path.name for path in backups.iterdir()] == ["v2"]
    assert folders.check(backups / "v2") == folders.check(original)
    [event] = shop.store.events.page(type="champion_backed_up")
    assert (event.version, event.data) == (2, {"backup": "backups/v2", "successor": 3})
    [promoted, *_] = shop.store.events.page(type="promoted")
    assert event.id < promoted.id, "the copy is there before the champion moves"


def test_a_champion_that_cannot_be_copied_stays_champion(shop: Workshop) -> None:
    shop.capture(0, 60)
    shop.run()
    shop.capture(60, 80)
    shop.store.triggers.add("api", True, {"backup_existing": True})
    weights = shop.settings.state_dir / "adapters" / "v1" / "adapter_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    assert "Expected SHA-256" in shop.failure(shop.run())
    assert shop.store.champion.get().n == 1
    weights.write_bytes(whole)
    assert shop.run().success
    assert shop.store.champion.get().n == 2
    assert (shop.settings.state_dir / "backups" / "v1").is_dir()


def test_what_is_erased_during_training_is_in_no_dataset_and_costs_no_attempt(shop: Workshop) -> None:
    shop.capture(0, 60)
    places = places_of(shop.store, shop.settings.state_dir)
    train = shop.trainer._train

    def erased_meanwhile(claim: Claim, on_progress: Callable[[Progress], None]) -> None:
        shop.trainer._train = train  # type: ignore[method-assign]
        shop.store.conversations.erase_user("u7")
        train(claim, on_progress)

    shop.trainer._train = erased_meanwhile  # type: ignore[method-assign]
    assert "stop writing" in shop.failure(shop.run())
    finish(shop.store, places)
    assert "found none, or one of which something was erased" in shop.failure(shop.run([lora_adapter]))
    assert shop.run().success
    finish(shop.store, places, timedelta(0))
    version, dataset = shop.store.versions.get(1), shop.settings.state_dir / "datasets" / "v1"
    assert (version.state, version.attempts) == ("promoted", 1)
    assert version.dataset_hash == folders.check(dataset).dataset_hash
    kept = {c.user_id for side in SIDES for c in read_own(shop.store, dataset, side)}
    assert kept == {f"u{n}" for n in range(60)} - {"u7"}


def test_between_two_steps_of_a_run_what_is_erased_is_not_trained_on_either(shop: Workshop) -> None:
    shop.capture(0, 60)
    assert shop.run([raw_conversations, validated_dataset]).success
    shop.store.conversations.erase_user("u7")
    assert "make it first" in shop.failure(shop.run([lora_adapter]))
    assert shop.trainer.ran == []
    assert shop.store.versions.get(1).attempts == 1
