"""What grows is pruned, by count; what is in use is not."""

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select

from resources.pruning import EVENTS_A_TURN, MOST_POINTS, NEWEST_EVENTS, prune_files, prune_rows
from resources.store import Store
from resources.tables import events, outbox, progress, utc_now
from tests.resources.examples import claimed, conclude

KEEP = {"backups": 3, "logs": 4}
ENDS = ("log", "err", "checkpoints.json")


def versions(store: Store, last: int, *, promoted: tuple[int, ...] = (), unfinished: bool = False) -> None:
    for n in range(1, last + 1):
        claim = claimed(store, f"c{n}")
        if n < last or not unfinished:
            conclude(store, claim, n in promoted)


def files(state: Path, *names: str, old: bool = True) -> None:
    for name in names:
        path = state / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
        then = time.time() - (7200 if old else 60)
        os.utime(path, (then, then))
        os.utime(path.parent, (then, then))


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_datasets_of_old_versions_go_and_their_manifests_stay(sqlite_store: Store, tmp_path: Path) -> None:
    versions(sqlite_store, 12, promoted=(2, 4), unfinished=True)
    names = ("train.parquet", "held_out.parquet", "manifest.json")
    files(tmp_path, *(f"datasets/v{n}/{name}" for n in range(1, 13) for name in names))
    assert prune_files(sqlite_store, tmp_path, **KEEP) == {"datasets": 10}
    whole = {n for n in range(1, 13) if len(left(tmp_path / "datasets" / f"v{n}")) == 3}
    assert whole == {2, 4, 8, 9, 10, 11, 12}, "champion, the one before, and the last five"
    assert all((tmp_path / "datasets" / f"v{n}" / "manifest.json").exists() for n in range(1, 13))
    assert prune_files(sqlite_store, tmp_path, **KEEP) == {}


def test_checkpoints_of_versions_that_are_finished_go(sqlite_store: Store, tmp_path: Path) -> None:
    versions(sqlite_store, 3, unfinished=True)
    files(tmp_path, *(f"checkpoints/v{n}/step-000010/state.json" for n in (1, 2, 3)), "checkpoints/notes/x")
    assert prune_files(sqlite_store, tmp_path, **KEEP) == {"checkpoints": 2}
    assert left(tmp_path / "checkpoints") == {"v3", "notes"}


def test_few_whole_models_are_kept_and_the_one_that_serves_always(sqlite_store: Store, tmp_path: Path) -> None:
    versions(sqlite_store, 5)
    files(tmp_path, *(f"trained_models/v{n}/model.safetensors" for n in range(1, 6)))
    base = tmp_path / "trained_models" / "v2"
    assert prune_files(sqlite_store, tmp_path, **KEEP, base=base) == {"trained_models": 2}
    assert left(tmp_path / "trained_models") == {"v2", "v4", "v5"}


def test_the_newest_copies_of_champions_stay_and_copies_of_resets_are_left_alone(
    sqlite_store: Store, tmp_path: Path
) -> None:
    files(tmp_path, *(f"backups/v{n}/manifest.json" for n in (1, 2, 9, 10, 11)), "backups/conversations-1.jsonl")
    assert prune_files(sqlite_store, tmp_path, **KEEP) == {"backups": 2}
    assert left(tmp_path / "backups") == {"v9", "v10", "v11", "conversations-1.jsonl"}


def test_logs_of_the_newest_trainers_stay_and_of_the_one_at_work(sqlite_store: Store, tmp_path: Path) -> None:
    versions(sqlite_store, 1, unfinished=True)
    files(tmp_path, *(f"logs/trainer-v{n}.{end}" for n in range(1, 9) for end in ENDS), "logs/serve.log")
    assert prune_files(sqlite_store, tmp_path, **KEEP) == {"logs": 9}
    kept = {f"trainer-v{n}.{end}" for n in (1, 5, 6, 7, 8) for end in ENDS}
    assert left(tmp_path / "logs") == kept | {"serve.log"}


def test_what_killed_processes_left_goes_but_never_of_the_version_at_work(sqlite_store: Store, tmp_path: Path) -> None:
    versions(sqlite_store, 2, unfinished=True)
    files(
        tmp_path, "datasets/v1.tmp-abc/train.parquet", "datasets/v2.tmp-abc/train.parquet", "adapters/v2.tmp-7/x",
        "adapters/v1.tmp-removed/x", "reports/v1/report.md.tmp-9", "reports/v2/report.md.tmp-9",
        "backups/c.jsonl.tmp-12", "adapters/v1/x", "cache/losses/a.tmp-1",
        "uploads/3/dataset-3-train.jsonl.tmp-7", "uploads/upload.tmp-0af",
    )  # fmt: skip
    files(tmp_path, "datasets/v1.tmp-young/train.parquet", old=False)
    assert prune_files(sqlite_store, tmp_path, **KEEP) == {"left_over": 7}
    assert left(tmp_path / "datasets") == {"v2.tmp-abc", "v1.tmp-young"}
    assert left(tmp_path / "adapters") == {"v2.tmp-7", "v1"}
    assert (left(tmp_path / "reports" / "v1"), left(tmp_path / "reports" / "v2")) == (set(), {"report.md.tmp-9"})
    assert left(tmp_path / "backups") == set()


def test_an_empty_state_has_nothing_to_prune(sqlite_store: Store, tmp_path: Path) -> None:
    assert prune_files(sqlite_store, tmp_path / "never made", **KEEP) == {}
    assert prune_rows(sqlite_store, 90) == {}


def points(store: Store, n: int, number: int) -> None:
    fixed = {"version": n, "fence": 1, "stage": "training", "total_steps": number, "created_at": utc_now()}
    rows = [{**fixed, "step": step, "loss": 3.0 - step / number} for step in range(1, number + 1)]
    store.database.write(lambda c: c.execute(insert(progress), rows))


def test_the_curve_of_a_finished_version_is_thinned_and_keeps_its_ends(store: Store) -> None:
    versions(store, 3, unfinished=True)
    for n, number in ((1, 1_500), (2, MOST_POINTS), (3, 1_000)):
        points(store, n, number)
    assert prune_rows(store, 0)["progress"] > 1_000
    curves = {n: store.progress.curve(n) for n in (1, 2, 3)}
    assert MOST_POINTS / 2 < len(curves[1]) <= MOST_POINTS
    assert (curves[1][0].step, curves[1][-1].step) == (1, 1_500)
    assert (len(curves[2]), len(curves[3])) == (MOST_POINTS, 1_000)
    assert prune_rows(store, 0) == {}


def happened(store: Store, type: str, number: int, days: float) -> list[int]:
    row = {"timestamp": utc_now() - timedelta(days=days), "type": type, "message": "x", "data": {}}
    found = insert(events).returning(events.c.id)
    return store.database.write(lambda c: list(c.execute(found, [row] * number).scalars()))


def test_old_events_go_with_what_was_delivered_of_them_and_the_newest_of_each_type_stay(store: Store) -> None:
    old = happened(store, "promoted", NEWEST_EVENTS + 50, days=91)
    few = happened(store, "conversations_imported", 10, days=900)
    young = happened(store, "trigger_added", NEWEST_EVENTS + 50, days=89)
    now = utc_now()
    told = [{"id": id, "attempts": 1, "next_at": now, "closed_at": now, "outcome": "delivered"} for id in old[1:]]
    waiting = [{"id": old[0], "attempts": 1, "next_at": now, "closed_at": None, "outcome": None}]
    store.database.write(lambda c: c.execute(insert(outbox), told + waiting))
    assert prune_rows(store, 0) == {}
    assert prune_rows(store, 90) == {"events": 49}
    left = store.database.read(lambda c: set(c.execute(select(events.c.id)).scalars()))
    assert left == {old[0], *old[50:], *few, *young}
    assert store.database.read(lambda c: c.execute(select(func.count()).select_from(outbox)).scalar_one()) == 201


def test_events_are_removed_some_at_a_time(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.pruning.EVENTS_A_TURN", 30)
    happened(sqlite_store, "promoted", NEWEST_EVENTS + 50, days=91)
    assert [prune_rows(sqlite_store, 90) for _ in range(3)] == [{"events": 30}, {"events": 20}, {}]
    assert EVENTS_A_TURN >= 1000
