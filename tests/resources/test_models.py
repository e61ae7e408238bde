"""Versions as models in the store: on both databases, quick with a thousand of them, and followed by the registry."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, insert

from resources import aliases, mlflow_store
from resources.model_rows import Wanted, count_query, page_query, status_of
from resources.models import Registration
from resources.registry import MlflowRegistry
from resources.registry_names import tell_names
from resources.store import NotAllowed, NotFound, Store
from resources.tables import champions, model_tags, models, utc_now, versions
from resources.tracking import Experiment
from tests.fakes import FakeRegistry
from tests.resources.examples import SHA, claimed, conclude
from tests.resources.test_store_plans import plan

ALL = Wanted("whetstone")


def many(store: Store, number: int) -> None:
    """Versions 1 to `number`, every third rejected, named and tagged; the last but one is champion, the last waits."""
    now, lineage = utc_now(), store.lineage
    common = {"desired": "run", "method": "lora", "base_fingerprint": lineage, "fence": 1, "beat": 1, "released": True}
    # as wide as real ones: settings, counts and verdicts are what must not be read for a list
    wide: dict[str, Any] = {"attempts": 1, "settings": {"x": "y" * 2000}, "counts": {"claimed": 50}, "training": {},
                            "adapter_sha256": SHA, "created_at": now, "started_at": now}  # fmt: skip
    rows = [
        {"n": n, "state": "promoted" if n % 3 else "rejected", "archived_at": now if n < number - 1 else None}
        | common
        | wide
        for n in range(1, number + 1)
    ]
    named = [
        {"n": n, "model_name": f"bot-{n % 7}", "version": f"1.0.{n}", "registered_at": now, "changes": 1, "told": 1}
        for n in range(1, number + 1)
    ]
    tags = [{"n": n, "tag": tag} for n in range(1, number + 1) for tag in ("ko", f"t{n % 5}")]
    store.database.write(lambda c: [c.execute(insert(t), v) for t, v in ((versions, rows), (models, named))])
    store.database.write(lambda c: c.execute(insert(model_tags), tags))
    champion = {"lineage": lineage, "n": number - 1, "previous": 1, "seq": 2}
    store.database.write(lambda c: c.execute(insert(champions).values(**champion)))


def test_status_names_and_tags_are_the_same_on_both_databases(store: Store) -> None:
    many(store, 10)
    page = store.models.page(ALL, 1, 3)
    assert [(m.n, m.status, m.model_name, m.version) for m in page.items] == [
        (10, "staging", "bot-3", "1.0.10"),
        (9, "production", "bot-2", "1.0.9"),
        (8, "archived", "bot-1", "1.0.8"),
    ]
    assert (page.total, page.items[0].tags) == (10, ("ko", "t0"))

    def found(**wanted: Any) -> list[int]:
        return [m.n for m in store.models.page(Wanted("whetstone", **wanted)).items]

    assert found(status="production") == [9]
    assert found(tags=("t0", "t1")) == [10, 6, 5, 1]
    assert found(tags=("ko", "t1"), match_all=True) == [6, 1]
    assert found(search="V10") == [10]
    assert found(search="bot-3") == [10, 3]
    assert found(base_model="x", base_fingerprints=("x",)) == []
    assert store.models.get(9).status == "production"


def test_a_page_of_a_thousand_takes_few_questions_and_little_time(sqlite_store: Store) -> None:
    many(sqlite_store, 1000)
    asked: list[str] = []
    event.listen(sqlite_store.database.engine, "before_cursor_execute", lambda *a: asked.append(a[2]))
    wanted = Wanted("whetstone", status="archived", tags=("ko", "t1"), match_all=True, search="bot")
    seconds = []
    for _ in range(5):
        asked.clear()
        began = time.perf_counter()
        page = sqlite_store.models.page(wanted, 1, 200)
        seconds.append(time.perf_counter() - began)
    assert (len(page.items), page.total) == (200, 200)
    assert len([statement for statement in asked if statement.startswith("SELECT")]) == 4
    assert min(seconds) < 0.1


def test_counting_and_paging_models_reads_an_index(sqlite_store: Store) -> None:
    assert "USING COVERING INDEX with_adapter" in plan(sqlite_store, count_query([]))
    assert "with_adapter" in plan(sqlite_store, page_query(status_of(3, "base"), [], 2, 50))


def test_what_is_moved_is_kept_with_who_asked(store: Store) -> None:
    for id in ("one", "two"):
        conclude(store, claimed(store, id))
    store.champion.roll_back("worse", by="a person")
    store.champion.roll_back(by="a person", to=None)
    moves = store.models.ancestry(1).moves
    assert [(move.previous, move.n, move.by, move.reason) for move in moves] == [
        (None, 1, "the gate", "better on the new"),
        (1, 2, "the gate", "better on the new"),
        (2, 1, "a person", "worse"),
        (1, None, "a person", "a roll back"),
    ]


def test_a_name_is_one_versions_and_a_score_one_keys(store: Store) -> None:
    for id in ("one", "two"):
        conclude(store, claimed(store, id))
    named = Registration(1, "bot", "1.0.0", "tiny", ("b", "a"))
    assert store.models.register(named).tags == ("a", "b")
    with pytest.raises(NotAllowed, match="taken by model 1"):
        store.models.register(Registration(2, "bot", "1.0.0", "tiny", ()))
    with pytest.raises(NotFound, match="v9"):
        store.models.register(Registration(9, "bot", "9.0.0", "tiny", ()))
    first = store.models.add_benchmark(1, "kobest", 0.25, {"shots": 5}, "key")
    assert store.models.add_benchmark(1, "kobest", 0.25, {"shots": 5}, "key") == first
    assert store.models.add_benchmark(2, "kobest", 0.5, {}, "key").n == 2
    assert store.models.compared([1, 2])[1][0] == first


def test_the_registry_is_told_of_each_change_once_and_when_it_knows_the_version(sqlite_store: Store) -> None:
    registry = FakeRegistry()
    conclude(sqlite_store, claimed(sqlite_store, "one"))
    named = Registration(1, "bot", "1.0.0", "tiny", ("ko",))
    sqlite_store.models.register(named)
    assert tell_names(sqlite_store, registry) == []
    registry.register(1, Path(), None, {}, None)
    assert tell_names(sqlite_store, registry) == ["v1 is bot 1.0.0 in the registry"]
    sqlite_store.models.register(named)  # nothing new
    assert tell_names(sqlite_store, registry) == []
    sqlite_store.models.register(replace(named, tags=("ko", "b")))
    [(_, change)] = sqlite_store.models.untold()
    sqlite_store.models.register(replace(named, tags=()))  # while the registry is being told of the one before
    sqlite_store.models.mark_told(1, change)
    assert tell_names(sqlite_store, registry) == ["v1 is bot 1.0.0 in the registry"]
    assert registry.tags[1]["whetstone.tags"] == ""


def test_the_alias_in_mlflow_follows_promotion_and_rollback(
    sqlite_store: Store, mlflow_uri: str, tmp_path: Path
) -> None:
    registry = MlflowRegistry(mlflow_uri, "whetstone", Experiment("finetuning_base", tmp_path / "mlartifacts"))
    for n, id in ((1, "one"), (2, "two"), (3, "three")):
        folder = tmp_path / "adapters" / f"v{n}"
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}", encoding="utf-8")
        conclude(sqlite_store, claimed(sqlite_store, id), promoted=n < 3)
        registry.register(n, folder, None, {}, None)

    sqlite_store.models.register(Registration(2, "bot", "1.0.0", "tiny", ("ko", "printer")))

    def followed() -> tuple[int | None, int | None]:
        aliases.reconcile(sqlite_store, registry, adapters_dir=tmp_path / "adapters")
        return registry.alias("production"), registry.alias("previous")

    assert followed() == (2, 1)
    client = mlflow_store.client(mlflow_uri)
    shown = client.get_model_version("whetstone", registry.registered(2)).tags
    assert (shown["whetstone.name"], shown["whetstone.release"]) == ("bot", "1.0.0")
    assert shown["whetstone.tags"] == "ko,printer"
    sqlite_store.champion.roll_back("worse", by="a person", to=1)
    assert followed() == (1, 2)
    sqlite_store.champion.promote(3, "asked for", by="a person", force=True)
    assert sqlite_store.versions.get(3).override_reason == "asked for"
    assert followed() == (3, 1)
    sqlite_store.champion.roll_back(by="a person", to=None)
    assert followed() == (None, 3)
    assert followed() == (None, 3)
    assert sqlite_store.champion.get().n is None
