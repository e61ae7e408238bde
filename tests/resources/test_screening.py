from pathlib import Path

from core.gate import GateThresholds, Verdict
from core.rules import RULES_VERSION
from resources import datasets
from resources.screening import make_dataset, rejections, screen_version
from resources.store import Store
from resources.versions import Claim
from tests.fakes import FakeTokenizer
from tests.workshop import conversation


def claimed(store: Store, first: int, last: int) -> Claim:
    store.conversations.capture([conversation(number) for number in range(first, last)])
    claim = store.versions.claim("run")
    assert claim is not None
    return claim


def test_doing_it_again_decides_the_same(sqlite_store: Store) -> None:
    claim = claimed(sqlite_store, 0, 40)
    first = screen_version(sqlite_store, claim, FakeTokenizer(), 100)
    assert screen_version(sqlite_store, claim, FakeTokenizer(), 100) == first
    assert first.train
    assert first.held_out


def test_sides_and_findings_are_in_the_store_before_anything_is_written(sqlite_store: Store) -> None:
    sqlite_store.conversations.capture([conversation(99, reply="```never closed")])
    claim = claimed(sqlite_store, 0, 40)
    screened = screen_version(sqlite_store, claim, FakeTokenizer(), 100)
    rows = {row.conversation.id: row for row in sqlite_store.versions.rows(1)}
    assert {c.id for c in screened.held_out} == {id_ for id_, row in rows.items() if row.side == "held_out"}
    assert [finding.rule for finding in rows["c0099"].findings] == ["unclosed_code_fence"]
    assert (screened.claimed, screened.accepted, screened.rejected) == (41, 40, 1)


def test_a_user_stays_on_the_side_of_the_first_conversation(sqlite_store: Store) -> None:
    claim = claimed(sqlite_store, 0, 40)
    screened = screen_version(sqlite_store, claim, FakeTokenizer(), 100)
    held_out = [c.user_id for c in screened.held_out if c.user_id]
    sqlite_store.versions.release(claim)
    finish(sqlite_store)
    sqlite_store.conversations.capture([conversation(500 + n, user=user) for n, user in enumerate(held_out)])
    second = sqlite_store.versions.claim("run")
    assert second is not None
    later = screen_version(sqlite_store, second, FakeTokenizer(), 100)
    assert {f"c{500 + n:04d}" for n in range(len(held_out))} <= {c.id for c in later.held_out}
    assert later.counts["from_earlier_versions"] == 40


def test_no_conversation_is_on_both_sides_and_each_has_its_unit(sqlite_store: Store) -> None:
    claim = claimed(sqlite_store, 0, 40)
    screened = screen_version(sqlite_store, claim, FakeTokenizer(), 100)
    assert not {c.id for c in screened.train} & {c.id for c in screened.held_out}
    assert set(screened.units) == {c.id for c in screened.train + screened.held_out}


def test_the_manifest_counts_reasons_and_names_the_rules(sqlite_store: Store, tmp_path: Path) -> None:
    sqlite_store.conversations.capture([conversation(90 + n, reply="```never closed" + "!" * n) for n in range(3)])
    claim = claimed(sqlite_store, 0, 40)
    manifest = make_dataset(sqlite_store, claim, tmp_path / "v1", FakeTokenizer(), 100)
    assert rejections(manifest) == {"unclosed_code_fence": 3}
    assert manifest.details["rules_version"] == RULES_VERSION
    assert manifest.counts["train"] == len(datasets.read_train(tmp_path / "v1"))
    assert sqlite_store.versions.get(1).dataset_hash == manifest.dataset_hash


def test_a_dataset_whose_conversations_were_erased_is_made_anew(sqlite_store: Store, tmp_path: Path) -> None:
    claim = claimed(sqlite_store, 0, 40)
    before = make_dataset(sqlite_store, claim, tmp_path / "v1", FakeTokenizer(), 100)
    sqlite_store.conversations.erase_user("u7")
    again = sqlite_store.versions.claim("run")
    assert again is not None
    after = make_dataset(sqlite_store, again, tmp_path / "v1", FakeTokenizer(), 100)
    assert after.dataset_hash != before.dataset_hash
    ids = {c.id for c in datasets.read_train(tmp_path / "v1") + datasets.read_held_out(tmp_path / "v1")}
    assert "c0007" not in ids


def test_what_was_trained_on_stays_as_it_is(sqlite_store: Store, tmp_path: Path) -> None:
    claim = claimed(sqlite_store, 0, 40)
    before = make_dataset(sqlite_store, claim, tmp_path / "v1", FakeTokenizer(), 100)
    sqlite_store.versions.mark_trained(claim, "a" * 64, {})
    assert make_dataset(sqlite_store, claim, tmp_path / "v1", FakeTokenizer(), 1) == before


def finish(store: Store) -> None:
    """Conclude the unfinished version as rejected."""
    claim = store.versions.claim("run")
    assert claim is not None
    store.versions.mark_trained(claim, "a" * 64, {})
    verdict = Verdict(promoted=False, reasons=("no",), checks=(), thresholds=GateThresholds())
    store.versions.set_verdict(claim, verdict, "report.md")
    store.versions.conclude(claim, None)
