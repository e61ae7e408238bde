from pathlib import Path

import pytest

from core.gate import GateThresholds, Verdict
from resources import aliases
from resources.adapters import WEIGHTS
from resources.mlflow_store import MlflowUnavailable
from resources.registry import FOREIGN
from resources.run_ends import end_runs
from resources.store import Store
from tests.conftest import LINEAGE
from tests.fakes import FakeRegistry, FakeTracking
from tests.resources.test_adapters import seal, stage
from tests.workshop import conversation


def make_version(store: Store, n: int, *, promoted: bool, registered: str | None = "1") -> int:
    """A concluded version n with one conversation."""
    store.conversations.capture([conversation(n)])
    claim = store.versions.claim(f"run-{n}")
    assert claim is not None
    assert claim.n == n
    store.versions.mark_trained(claim, "a" * 64, {})
    verdict = Verdict(promoted=promoted, reasons=("because",), checks=(), thresholds=GateThresholds())
    store.versions.set_verdict(claim, verdict, "report.md")
    store.versions.conclude(claim, registered)
    return n


def keep_files(adapters_dir: Path, n: int) -> None:
    seal(stage(adapters_dir / f"v{n}"), version=n, base_fingerprint=LINEAGE)


@pytest.fixture
def registry() -> FakeRegistry:
    registry = FakeRegistry()
    registry.versions = {1: "11", 2: "12", 3: "13"}
    return registry


def test_a_whole_model_that_was_concluded_without_the_registry_is_registered_from_its_own_folder(
    sqlite_store: Store, tmp_path: Path
) -> None:
    sqlite_store.settings.change({"finetune_method": "full"}, "a person")
    registry = FakeRegistry()
    make_version(sqlite_store, 1, promoted=False, registered=None)
    assert aliases.reconcile(sqlite_store, registry, adapters_dir=tmp_path / "adapters") == []
    (tmp_path / "trained_models" / "v1").mkdir(parents=True)
    (tmp_path / "trained_models" / "v1" / "manifest.json").write_text("{}", encoding="utf-8")
    assert aliases.reconcile(sqlite_store, registry, adapters_dir=tmp_path / "adapters") == ["v1 registered late"]


def test_a_whole_model_is_never_at_staging(sqlite_store: Store, registry: FakeRegistry) -> None:
    sqlite_store.settings.change({"finetune_method": "full"}, "a person")
    sqlite_store.conversations.capture([conversation(1)])
    claim = sqlite_store.versions.claim("run-1")
    assert claim is not None
    sqlite_store.versions.mark_trained(claim, "a" * 64, {})
    assert aliases.candidate(sqlite_store, sqlite_store.champion.get()) is None


def put_back_events(store: Store) -> list[str]:
    return [event.message for event in store.events.page(type="alias_put_back")]


def test_nothing_is_done_while_the_base_answers_and_no_alias_is_set(
    sqlite_store: Store, registry: FakeRegistry
) -> None:
    assert aliases.reconcile(sqlite_store, registry) == []
    assert registry.aliases == {}


def test_production_follows_the_champion_and_previous_the_one_before(
    sqlite_store: Store, registry: FakeRegistry
) -> None:
    make_version(sqlite_store, 1, promoted=True)
    assert aliases.reconcile(sqlite_store, registry) == ["alias production → v1"]
    make_version(sqlite_store, 2, promoted=True)
    assert aliases.reconcile(sqlite_store, registry) == ["alias production → v2", "alias previous → v1"]
    assert registry.aliases == {"production": 2, "previous": 1}
    assert sqlite_store.champion.get().alias_confirmed == 2
    assert aliases.reconcile(sqlite_store, registry) == []


def test_a_crash_between_alias_and_confirmation_is_made_good(sqlite_store: Store, registry: FakeRegistry) -> None:
    make_version(sqlite_store, 1, promoted=True)
    registry.set_alias("production", 1)
    assert aliases.reconcile(sqlite_store, registry) == []
    assert sqlite_store.champion.get().alias_confirmed == 1


def test_a_rollback_in_the_store_moves_the_alias_back(sqlite_store: Store, registry: FakeRegistry) -> None:
    for n in (1, 2):
        make_version(sqlite_store, n, promoted=True)
    aliases.reconcile(sqlite_store, registry)
    sqlite_store.champion.move(1, "worse answers", "a person")
    aliases.reconcile(sqlite_store, registry)
    assert registry.aliases == {"production": 1, "previous": 2}
    sqlite_store.champion.move(None, "worse still", "a person")
    aliases.reconcile(sqlite_store, registry)
    assert registry.aliases == {"previous": 1}


def test_an_alias_moved_outside_to_a_passed_version_makes_it_champion(
    sqlite_store: Store, registry: FakeRegistry
) -> None:
    for n in (1, 2):
        make_version(sqlite_store, n, promoted=True)
    aliases.reconcile(sqlite_store, registry)
    registry.aliases["production"] = 1
    [first, *_] = aliases.reconcile(sqlite_store, registry)
    assert first == "v1 is champion: alias production was moved in the registry"
    champion = sqlite_store.champion.get()
    assert (champion.n, champion.alias_confirmed) == (1, 1)
    assert "asked by alias" in sqlite_store.events.page(type="rolled_back")[0].message
    assert registry.aliases == {"production": 1, "previous": 2}


def test_an_alias_moved_outside_to_a_rejected_version_is_put_back_with_an_event(
    sqlite_store: Store, registry: FakeRegistry
) -> None:
    make_version(sqlite_store, 1, promoted=True)
    make_version(sqlite_store, 2, promoted=False)
    aliases.reconcile(sqlite_store, registry)
    registry.aliases["production"] = 2
    aliases.reconcile(sqlite_store, registry)
    assert registry.aliases["production"] == 1
    assert sqlite_store.champion.get().n == 1
    [message] = put_back_events(sqlite_store)
    assert message.endswith("moved to v2 in the registry and put back: v2 did not pass the gate")


def test_an_alias_moved_outside_to_a_version_whose_files_are_gone_is_put_back(
    sqlite_store: Store, registry: FakeRegistry, tmp_path: Path
) -> None:
    for n in (1, 2):
        make_version(sqlite_store, n, promoted=True)
    aliases.reconcile(sqlite_store, registry, adapters_dir=tmp_path)
    registry.aliases["production"] = 1
    aliases.reconcile(sqlite_store, registry, adapters_dir=tmp_path)
    assert (registry.aliases["production"], sqlite_store.champion.get().n) == (2, 2)
    assert put_back_events(sqlite_store)[0].endswith("put back: the files of v1 are no longer kept")
    keep_files(tmp_path, 1)
    registry.aliases["production"] = 1
    aliases.reconcile(sqlite_store, registry, adapters_dir=tmp_path)
    assert sqlite_store.champion.get().n == 1


def test_an_alias_moved_outside_to_a_version_whose_files_are_damaged_is_put_back(
    sqlite_store: Store, registry: FakeRegistry, tmp_path: Path
) -> None:
    for n in (1, 2):
        make_version(sqlite_store, n, promoted=True)
        keep_files(tmp_path, n)
    aliases.reconcile(sqlite_store, registry, adapters_dir=tmp_path)
    with (tmp_path / "v1" / WEIGHTS).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"!")
    registry.aliases["production"] = 1
    aliases.reconcile(sqlite_store, registry, adapters_dir=tmp_path)
    assert (registry.aliases["production"], sqlite_store.champion.get().n) == (2, 2)
    assert "the files of v1 are refused" in put_back_events(sqlite_store)[0]


def test_no_alias_moves_to_a_champion_that_the_engine_did_not_take_over(
    sqlite_store: Store, registry: FakeRegistry
) -> None:
    make_version(sqlite_store, 1, promoted=True)
    sqlite_store.champion.mark_served(1, 0.1)
    assert aliases.reconcile(sqlite_store, registry, once_served=True) == ["alias production → v1"]
    make_version(sqlite_store, 2, promoted=True)
    assert aliases.reconcile(sqlite_store, registry, once_served=True) == []
    assert sqlite_store.champion.give_up(2, 1, "its files are damaged")
    assert aliases.reconcile(sqlite_store, registry, once_served=True) == []
    assert registry.aliases == {"production": 1}
    sqlite_store.champion.roll_back(by="a person", to=2)
    sqlite_store.champion.mark_served(2, 0.1)
    assert aliases.reconcile(sqlite_store, registry, once_served=True)[0] == "alias production → v2"


def test_a_wish_for_a_version_that_the_engine_refuses_is_put_back_with_the_champion(
    sqlite_store: Store, registry: FakeRegistry
) -> None:
    for n in (1, 2):
        make_version(sqlite_store, n, promoted=True)
        sqlite_store.champion.mark_served(n, 0.1)
        aliases.reconcile(sqlite_store, registry, once_served=True)
    registry.aliases["production"] = 1
    aliases.reconcile(sqlite_store, registry, once_served=True)
    assert sqlite_store.champion.get().n == 1
    sqlite_store.champion.give_up(1, 2, "refused")
    aliases.reconcile(sqlite_store, registry, once_served=True)
    assert registry.aliases["production"] == 2


def test_an_alias_removed_outside_is_put_back(sqlite_store: Store, registry: FakeRegistry) -> None:
    make_version(sqlite_store, 1, promoted=True)
    aliases.reconcile(sqlite_store, registry)
    del registry.aliases["production"]
    aliases.reconcile(sqlite_store, registry)
    assert registry.aliases["production"] == 1
    assert "was removed in the registry and put back" in put_back_events(sqlite_store)[0]


def test_an_alias_on_something_that_is_no_version_of_ours_is_put_back(
    sqlite_store: Store, registry: FakeRegistry
) -> None:
    make_version(sqlite_store, 1, promoted=True)
    aliases.reconcile(sqlite_store, registry)
    registry.aliases["production"] = FOREIGN
    aliases.reconcile(sqlite_store, registry)
    assert registry.aliases["production"] == 1
    assert "is no version of ours" in put_back_events(sqlite_store)[0]


def test_an_alias_set_by_hand_while_the_base_answers_is_taken_away(sqlite_store: Store, registry: FakeRegistry) -> None:
    make_version(sqlite_store, 1, promoted=False)
    registry.aliases["production"] = 1
    aliases.reconcile(sqlite_store, registry)
    assert registry.aliases == {}
    assert sqlite_store.champion.get().n is None
    assert len(put_back_events(sqlite_store)) == 1


def test_a_registry_restored_from_an_old_copy_rolls_nothing_back(sqlite_store: Store, registry: FakeRegistry) -> None:
    for n in (1, 2):
        make_version(sqlite_store, n, promoted=True)
    aliases.reconcile(sqlite_store, registry)
    registry.versions, registry.aliases = {1: "11"}, {"production": 1}
    aliases.reconcile(sqlite_store, registry)
    assert sqlite_store.champion.get().n == 2
    assert registry.aliases["production"] == 1


def test_what_a_registry_restored_from_an_old_copy_lacks_is_registered_again_and_its_aliases_count_again(
    sqlite_store: Store, registry: FakeRegistry, tmp_path: Path
) -> None:
    for n in (1, 2):
        make_version(sqlite_store, n, promoted=True)
        keep_files(tmp_path, n)
    aliases.reconcile(sqlite_store, registry, adapters_dir=tmp_path)
    registry.versions, registry.aliases = {1: "11"}, {"production": 1}
    aliases.reconcile(sqlite_store, registry, adapters_dir=tmp_path)
    assert (sqlite_store.champion.get().n, registry.aliases["production"]) == (2, 2)
    assert sqlite_store.versions.get(2).mlflow_version == registry.versions[2] == "12"
    registry.aliases["production"] = 1
    aliases.reconcile(sqlite_store, registry, adapters_dir=tmp_path)
    assert sqlite_store.champion.get().n == 1, "now it is somebody's wish"


def test_an_alias_written_by_a_process_that_died_is_no_wish_of_anybody(
    sqlite_store: Store, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_version(sqlite_store, 1, promoted=True)
    aliases.reconcile(sqlite_store, registry)
    make_version(sqlite_store, 2, promoted=True)
    with monkeypatch.context() as crash:
        crash.setattr(sqlite_store.champion, "confirm_alias", None)
        with pytest.raises(TypeError):
            aliases.reconcile(sqlite_store, registry)
    assert registry.aliases["production"] == 2
    make_version(sqlite_store, 3, promoted=True)
    aliases.reconcile(sqlite_store, registry)
    assert (sqlite_store.champion.get().n, registry.aliases["production"]) == (3, 3)
    assert sqlite_store.events.page(type="rolled_back") == []
    registry.aliases["production"] = 2
    aliases.reconcile(sqlite_store, registry)
    assert sqlite_store.champion.get().n == 2, "and what is confirmed since is a wish again"


def test_with_the_registry_away_nothing_is_done(sqlite_store: Store, registry: FakeRegistry) -> None:
    make_version(sqlite_store, 1, promoted=True)
    registry.away = True
    assert aliases.reconcile(sqlite_store, registry) == []
    assert sqlite_store.champion.get().alias_confirmed is None


def test_a_champion_that_is_not_registered_yet_gets_its_alias_later(sqlite_store: Store) -> None:
    registry = FakeRegistry()
    make_version(sqlite_store, 1, promoted=True)
    assert aliases.reconcile(sqlite_store, registry) == []
    registry.versions[1] = "7"
    assert aliases.reconcile(sqlite_store, registry) == ["alias production → v1"]


def test_a_version_concluded_while_the_registry_was_away_is_registered_from_its_folder(
    sqlite_store: Store, tmp_path: Path
) -> None:
    registry = FakeRegistry()
    make_version(sqlite_store, 1, promoted=True, registered=None)
    keep_files(tmp_path, 1)
    done = aliases.reconcile(sqlite_store, registry, adapters_dir=tmp_path)
    assert done == ["v1 registered late", "alias production → v1"]
    assert registry.tags[1]["verdict"] == "promoted"
    assert sqlite_store.versions.get(1).mlflow_version == registry.versions[1]
    assert aliases.reconcile(sqlite_store, registry, adapters_dir=tmp_path) == []


def test_staging_names_the_candidate_until_it_is_concluded(sqlite_store: Store, registry: FakeRegistry) -> None:
    sqlite_store.conversations.capture([conversation(1)])
    claim = sqlite_store.versions.claim("run")
    assert claim is not None
    sqlite_store.versions.mark_trained(claim, "a" * 64, {})
    assert aliases.reconcile(sqlite_store, registry) == ["alias staging → v1"]
    verdict = Verdict(promoted=True, reasons=("better",), checks=(), thresholds=GateThresholds())
    sqlite_store.versions.set_verdict(claim, verdict, "report.md")
    sqlite_store.versions.conclude(claim, "11")
    assert aliases.reconcile(sqlite_store, registry) == ["alias production → v1", "alias staging removed"]


def test_the_served_stage_may_have_another_name(sqlite_store: Store, registry: FakeRegistry) -> None:
    make_version(sqlite_store, 1, promoted=True)
    aliases.reconcile(sqlite_store, registry, production="live")
    assert registry.aliases == {"live": 1}


def test_a_stage_names_the_champion_the_one_before_or_the_candidate(sqlite_store: Store) -> None:
    for n in (1, 2):
        make_version(sqlite_store, n, promoted=True)
    found = {stage: aliases.stage_of(sqlite_store, stage) for stage in ("Production", "Previous", "Staging", "Live")}
    assert found == {"Production": 2, "Previous": 1, "Staging": None, "Live": 2}
    sqlite_store.conversations.capture([conversation(3)])
    claim = sqlite_store.versions.claim("run")
    assert claim is not None
    sqlite_store.versions.mark_trained(claim, "a" * 64, {})
    assert aliases.stage_of(sqlite_store, "Staging") == 3


@pytest.mark.parametrize(
    ("stage", "alias"),
    [("Production", "production"), ("Live", "live"), ("Staging", "production"), ("previous", "production")],
)
def test_the_champion_takes_no_alias_that_has_a_meaning_of_its_own(stage: str, alias: str) -> None:
    assert aliases.production_alias(stage) == alias


def test_runs_that_mlflow_was_away_for_are_ended_once(sqlite_store: Store) -> None:
    tracking, ended = FakeTracking(), set[int]()
    tracking.runs = {"run-1": {"status": "RUNNING"}, "run-2": {"status": "RUNNING"}}
    sqlite_store.conversations.capture([conversation(1)])
    claim = sqlite_store.versions.claim("run")
    assert claim is not None
    sqlite_store.versions.set_mlflow_run(claim, "run-1")
    assert end_runs(sqlite_store, tracking, ended) == []
    sqlite_store.versions.mark_trained(claim, "a" * 64, {})
    verdict = Verdict(promoted=True, reasons=("better",), checks=(), thresholds=GateThresholds())
    sqlite_store.versions.set_verdict(claim, verdict, "report.md")
    sqlite_store.versions.conclude(claim, None)
    tracking.away = True
    with pytest.raises(MlflowUnavailable):
        end_runs(sqlite_store, tracking, ended)
    tracking.away = False
    assert end_runs(sqlite_store, tracking, ended) == ["v1"]
    assert {name: run["status"] for name, run in tracking.runs.items()} == {"run-1": "FINISHED", "run-2": "RUNNING"}
    assert end_runs(sqlite_store, tracking, ended) == []
