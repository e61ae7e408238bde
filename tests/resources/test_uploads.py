"""Rows of uploaded datasets and the log of their checks, on both databases."""

from datetime import timedelta
from typing import Any

import pytest

from resources.line_findings import MOST_FINDINGS, LineFinding
from resources.store import NotAllowed, NotFound, Store
from resources.tables import utc_now
from resources.uploads import Upload


def values(**more: Any) -> dict[str, Any]:
    fixed = {"version": "1.0.0", "format": "alpaca", "kind": "training", "file_name": "a.jsonl", "extension": "jsonl"}
    sizes = {"size_bytes": 9, "sha256": "0" * 64}
    return {"name": "set", **fixed, **sizes, "mapping": {}, "tags": [], "dataset_metadata": {}, "stats": {}, **more}


def add(store: Store, **more: Any) -> Upload:
    return store.uploads.add(values(**more), lambda id: None)


def found(is_valid: bool = True, **more: Any) -> dict[str, Any]:
    counts = {"total": 3, "valid": 2, "pii": {"phone": 1}, "duplicates": {"exact": 0, "near": 1}}
    rest = {"reasons": {"empty_reply": 1}, "checks": ["rules"], "rules_version": "r1"}
    return {"is_valid": is_valid, "quality_score": 0.5, **counts, **rest, **more}


def test_a_row_gives_back_what_was_said_of_it(store: Store) -> None:
    made = add(store, tags=["a"], dataset_metadata={"who": "나"}, mapping={"output": "answer"})

    assert store.uploads.get(made.id) == made
    assert (made.status, made.tags, made.dataset_metadata) == ("uploaded", ["a"], {"who": "나"})
    assert [event.data["dataset_id"] for event in store.events.page(type="dataset_uploaded")] == [made.id]


def test_a_file_that_finds_no_place_leaves_no_row(store: Store) -> None:
    def place(id: int) -> None:
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        store.uploads.add(values(), place)
    assert store.uploads.page().total == 0
    assert store.events.page(type="dataset_uploaded") == []


def test_pages_are_newest_first_and_filtered(store: Store) -> None:
    names = ["one", "two", "Three", "50%_off"]
    ids = {name: add(store, name=name, tags=["x", name.lower()[:3]]).id for name in names}
    store.uploads.delete(ids["two"])

    def names_of(**filters: Any) -> list[str]:
        return [upload.name for upload in store.uploads.page(**filters).items]

    assert names_of() == ["50%_off", "Three", "one"]
    assert names_of(page=2, page_size=2) == ["one"]
    assert names_of(status="deleted") == ["two"]
    assert names_of(search="THR") == ["Three"]
    assert names_of(search="%_") == ["50%_off"], "a wildcard means itself"
    assert names_of(tags=["x", "one"]) == ["one"]
    assert names_of(tags=["on"]) == [], "a part of a tag is another tag"
    assert names_of(kind="golden") == []


def test_what_is_deleted_keeps_its_row_and_changes_no_more(store: Store) -> None:
    made = add(store)
    store.uploads.log(made.id, found(), [])
    store.uploads.delete(made.id)
    store.uploads.delete(made.id)

    assert store.uploads.get(made.id).status == "deleted"
    assert len(store.uploads.logs(made.id)) == 1
    assert len(store.events.page(type="dataset_deleted")) == 1
    with pytest.raises(NotAllowed, match="deleted"):
        store.uploads.change(made.id, {"name": "again"})
    with pytest.raises(NotAllowed, match="deleted"):
        store.uploads.log(made.id, found(), [])
    with pytest.raises(NotFound):
        store.uploads.delete(made.id + 1)


def test_every_run_of_the_checks_is_kept_and_the_last_one_decides(store: Store) -> None:
    made = add(store)
    first = store.uploads.log(made.id, found(False, quality_score=None), [LineFinding(2, 7, "torn", "error", "cut")])
    assert store.uploads.get(made.id).status == "invalid"
    second = store.uploads.log(made.id, found(), [])

    after = store.uploads.get(made.id)
    assert (after.status, after.quality_score) == ("validated", 0.5)
    assert store.uploads.logs(made.id) == [second, first]
    assert (second.pii, second.duplicates, second.reasons) == (
        {"phone": 1},
        {"exact": 0, "near": 1},
        {"empty_reply": 1},
    )


def test_findings_come_in_the_order_of_the_file_and_by_rule(store: Store) -> None:
    many = [LineFinding(n, None, f"rule{n % 2}", "error" if n % 3 else "warning", "why") for n in range(1, 1203)]
    log = store.uploads.log(add(store).id, found(), many)

    page = store.uploads.findings(log.id, 2, 200)
    assert (page.total, [finding.line for finding in page.items]) == (1202, list(range(201, 401)))
    assert store.uploads.findings(log.id, rule="rule1").total == 601
    assert store.uploads.findings(log.id, rule="rule1", severity="warning").total == 200


def test_only_so_many_findings_are_kept(store: Store) -> None:
    log = store.uploads.log(add(store).id, found(), [LineFinding(1, 1, "r", "error", "w")] * (MOST_FINDINGS + 5))

    assert store.uploads.findings(log.id).total == MOST_FINDINGS


def test_a_dataset_is_being_ingested_until_it_is_done_or_silent(store: Store) -> None:
    first, second = add(store, version="1"), add(store, version="2")
    assert store.uploads.being_ingested(utc_now()) is None
    changed = store.uploads.change(second.id, {"ingested": {"state": "running"}})
    assert store.uploads.being_ingested(changed.updated_at) == second.id
    assert store.uploads.being_ingested(changed.updated_at + timedelta(minutes=3)) is None
    store.uploads.change(second.id, {"ingested": {"state": "completed"}})
    assert store.uploads.being_ingested(utc_now()) is None
    assert first.id != second.id
