import os
import shutil
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from core.caps import Caps
from core.conversation import Conversation
from core.gate import GateThresholds, Verdict
from core.live_settings import LiveSettings
from core.pii import PII_VERSION
from core.rules import RULES_VERSION
from core.sides import SIDES
from resources import datasets, screening_rows
from resources import screening as screening_module
from resources.conversation_rows import StoredConversation
from resources.feedback import Feedback
from resources.reference_sets import GENERAL, read_set
from resources.screening import Screener, make_dataset, rejections, screen_version
from resources.store import Fenced, Store, open_store
from resources.tables import conversations, utc_now
from resources.versions import Claim
from tests.fakes import FakeTokenizer
from tests.own_names import read_own
from tests.workshop import NOON, conversation

SCREENER = Screener(FakeTokenizer(), 100)
LONG = "To bring back an order, put it into its box, print the label from your account page, take it to any post office"


def claimed(store: Store, batch: Sequence[Conversation]) -> Claim:
    store.conversations.capture(batch)
    claim = store.versions.claim("run")
    assert claim is not None
    return claim


def numbered(first: int, last: int) -> list[Conversation]:
    return [conversation(number) for number in range(first, last)]


def rows(store: Store, n: int = 1) -> dict[str, StoredConversation]:
    return {row.conversation.id: row for row in store.versions.rows(n)}


def sides(store: Store, n: int = 1) -> dict[str, str | None]:
    return {id_: row.side for id_, row in rows(store, n).items()}


def rules_of(store: Store, id_: str) -> list[str]:
    found = store.conversations.get(id_)
    assert found is not None
    return [finding.rule for finding in found.findings if finding.severity == "error"]


def ids(store: Store, folder: Path) -> set[str]:
    return {one.id for side in SIDES for one in read_own(store, folder, side)}


def one_secret(bytes: int) -> str:
    """Of all installations, so that their files can be compared."""
    return "5a" * bytes


def test_doing_it_again_decides_the_same(store: Store, tmp_path: Path) -> None:
    claim = claimed(store, numbered(0, 40))
    first = make_dataset(store, claim, tmp_path / "v1", SCREENER)
    decided = rows(store)
    assert make_dataset(store, claim, tmp_path / "v1", SCREENER) == first
    assert rows(store) == decided
    assert set(sides(store).values()) >= {"train", "held_out"}


def test_how_many_are_screened_at_once_changes_nothing(
    migrated_sqlite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resources.pseudonyms.secrets.token_hex", one_secret)
    manifests = []
    for piece in (1, 7, 1000):
        shutil.copy(migrated_sqlite, tmp_path / f"{piece}.db")
        store = open_store(f"sqlite:///{tmp_path / f'{piece}.db'}", live_defaults=LiveSettings(), lineage="base")
        claim = claimed(store, [*numbered(0, 30), *alike(30, 40, "ann"), *alike(40, 50, "bob")])
        manifests.append(make_dataset(store, claim, tmp_path / str(piece), replace(SCREENER, piece=piece)))
        store.close()
    assert manifests[0] == manifests[1] == manifests[2]
    assert set(rejections(manifests[0])) == {"cap_cluster"}


def test_a_crash_between_two_pieces_is_gone_on_from(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = [*numbered(0, 30), *alike(30, 34, "ann")]
    small = replace(SCREENER, piece=8)
    claim = claimed(sqlite_store, batch)
    decide, calls = screening_module.decide, []

    def breaks(*arguments: object, **named: object) -> object:
        calls.append(len(calls))
        if len(calls) == 3:
            raise RuntimeError("the power went")
        return decide(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(screening_module, "decide", breaks)
    with pytest.raises(RuntimeError):
        screen_version(sqlite_store, claim, small)
    before = rows(sqlite_store)
    assert sum(row.side is not None for row in before.values()) == 16, "two pieces whole, of the third nothing"
    manifest = make_dataset(sqlite_store, claim, tmp_path / "v1", small)
    assert len(calls) == 6, "what was decided is not decided again"
    assert sides(sqlite_store).items() >= {id_: row.side for id_, row in before.items() if row.side}.items()
    assert rejections(manifest) == {"cap_cluster": 1}


def test_other_rules_screen_an_open_version_again(store: Store) -> None:
    claim = claimed(store, numbered(0, 10))
    screen_version(store, claim, replace(SCREENER, max_tokens=1))
    assert {row.rejected for row in rows(store).values()} == {True}
    screen_version(store, claim, SCREENER)
    assert {row.rejected for row in rows(store).values()} == {False}


def test_nothing_is_written_without_the_claim(sqlite_store: Store) -> None:
    claim = claimed(sqlite_store, numbered(0, 10))
    sqlite_store.versions.release(claim)
    with pytest.raises(Fenced):
        screen_version(sqlite_store, claim, SCREENER)
    assert set(sides(sqlite_store).values()) == {None}


def test_sides_and_findings_are_in_the_store_and_the_files_say_the_same(sqlite_store: Store, tmp_path: Path) -> None:
    sqlite_store.conversations.capture([conversation(99, reply="```never closed")])
    claim = claimed(sqlite_store, numbered(0, 40))
    manifest = make_dataset(sqlite_store, claim, tmp_path / "v1", SCREENER)
    found = rows(sqlite_store)
    for side in SIDES:
        written = {one.id for one in read_own(sqlite_store, tmp_path / "v1", side)}
        assert written == {id_ for id_, row in found.items() if row.side == side}
    assert rules_of(sqlite_store, "c0099") == ["unclosed_code_fence"]
    assert {key: manifest.counts[key] for key in ("claimed", "accepted", "rejected")} == {
        "claimed": 41, "accepted": 40, "rejected": 1
    }  # fmt: skip


def test_a_user_stays_on_the_side_of_the_first_conversation(sqlite_store: Store, tmp_path: Path) -> None:
    claim = claimed(sqlite_store, numbered(0, 40))
    screen_version(sqlite_store, claim, SCREENER)
    before = sides(sqlite_store)
    sqlite_store.versions.release(claim)
    finish(sqlite_store)
    later = claimed(sqlite_store, [conversation(500 + n, user=f"u{n}") for n in range(40)])
    manifest = make_dataset(sqlite_store, later, tmp_path / "v2", SCREENER)
    assert sides(sqlite_store, 2) == {f"c{500 + n:04d}": before[f"c{n:04d}"] for n in range(40)}
    assert manifest.counts["from_earlier_versions"] == 40
    assert len(ids(sqlite_store, tmp_path / "v2")) == 80


def test_near_duplicates_of_two_users_lie_on_one_side(store: Store) -> None:
    claim = claimed(store, [*numbered(0, 40), *(conversation(50 + n, reply=f"{LONG}. {n}") for n in range(3))])
    screen_version(store, claim, SCREENER)
    found = sides(store)
    assert len({found[f"c00{50 + n}"] for n in range(3)}) == 1
    assert None not in found.values()


def test_what_is_near_another_side_than_its_user_is_kept_out(sqlite_store: Store) -> None:
    claim = claimed(sqlite_store, numbered(0, 40))
    screen_version(sqlite_store, claim, SCREENER)
    found = sides(sqlite_store)
    ann = next(id_ for id_, side in found.items() if side == "train")
    bob = next(id_ for id_, side in found.items() if side == "held_out")
    sqlite_store.versions.release(claim)
    finish(sqlite_store)
    users = [f"u{int(id_[1:])}" for id_ in (ann, bob)]
    second = [conversation(60 + n, user=user, reply=f"{LONG}. {n}") for n, user in enumerate(users)]
    later = claimed(sqlite_store, second)
    screen_version(sqlite_store, later, SCREENER)
    assert sides(sqlite_store, 2) == {"c0060": "train", "c0061": None}
    assert rules_of(sqlite_store, "c0061") == ["both_sides"]


def test_what_masking_makes_equal_is_a_duplicate_whichever_version_it_is_in(store: Store) -> None:
    def mail(number: int, name: str) -> Conversation:
        return conversation(7, reply=f"Write to {name}@example.com, they will help you.").model_copy(
            update={"id": f"m{number}", "user_id": f"m{number}"}
        )

    claim = claimed(store, [*numbered(10, 30), mail(1, "ann"), mail(2, "bob")])
    screen_version(store, claim, SCREENER)
    assert [rules_of(store, id_) for id_ in ("m1", "m2")] == [[], ["duplicate"]]
    store.versions.release(claim)
    finish(store)
    plain = conversation(7, reply="Write to [EMAIL_1], they will help you.").model_copy(update={"id": "m4"})
    screen_version(store, claimed(store, [mail(3, "eve"), plain]), SCREENER)
    assert [rules_of(store, id_) for id_ in ("m3", "m4")] == [["duplicate"], ["duplicate"]]


def test_what_retention_made_equal_while_it_waited_is_a_duplicate(sqlite_store: Store) -> None:
    ann, bob = (
        conversation(number, reply=f"Write to {name}@example.com.").model_copy(
            update={"messages": conversation(7).messages}
        )
        for number, name in ((1, "ann"), (2, "bob"))
    )
    sqlite_store.conversations.capture([ann, bob])
    long_ago = update(conversations).values(recorded_at=utc_now() - timedelta(days=31))
    sqlite_store.database.write(lambda c: c.execute(long_ago))
    assert sqlite_store.retention.turn(30).masked == 2
    screen_version(sqlite_store, claimed(sqlite_store, numbered(10, 12)), SCREENER)
    assert [rules_of(sqlite_store, one.id) for one in (ann, bob)] == [[], ["duplicate"]]


def test_a_dataset_holds_masked_text_and_the_store_what_was_captured(sqlite_store: Store, tmp_path: Path) -> None:
    one = conversation(1, reply="전화는 010-1234-5678, 메일은 ann@example.com 입니다.")
    claim = claimed(sqlite_store, [one, *numbered(2, 9)])
    manifest = make_dataset(sqlite_store, claim, tmp_path / "v1", SCREENER)
    text = next(c.reply for side in SIDES for c in read_own(sqlite_store, tmp_path / "v1", side) if c.id == one.id)
    assert text == "전화는 [PHONE_1], 메일은 [EMAIL_1] 입니다."
    assert rows(sqlite_store)[one.id].conversation.reply == one.reply
    assert personal(sqlite_store, one.id) == {"phone": 1, "email": 1}
    assert manifest.details["pii_version"] == PII_VERSION


def test_what_was_screened_under_other_masks_is_masked_anew(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = conversation(1, reply="Write to ann@example.com.")
    monkeypatch.setattr(screening_module, "PII_VERSION", "pii-0")
    monkeypatch.setattr("resources.screening_piece.mask_personal", lambda conversation, recognise: (conversation, {}))
    claim = claimed(sqlite_store, [one, *numbered(2, 9)])
    screen_version(sqlite_store, claim, SCREENER)
    monkeypatch.undo()
    sqlite_store.versions.release(claim)
    finish(sqlite_store)
    later = claimed(sqlite_store, numbered(20, 30))
    make_dataset(sqlite_store, later, tmp_path / "v2", SCREENER)
    texts = {c.id: c.reply for side in SIDES for c in read_own(sqlite_store, tmp_path / "v2", side)}
    assert texts[one.id] == "Write to [EMAIL_1]."


def test_the_caps_count_what_earlier_versions_accepted(store: Store) -> None:
    capped = replace(SCREENER, caps=Caps(per_user=3))
    others = [conversation(n, user=f"user-{n}") for n in range(9)]
    claim = claimed(store, [*others, *(conversation(30 + n, user="ann") for n in range(2))])
    screen_version(store, claim, capped)
    store.versions.release(claim)
    finish(store)
    later = claimed(store, [conversation(40 + n, user="ann") for n in range(3)])
    screen_version(store, later, capped)
    screen_version(store, later, capped)
    assert [rules_of(store, f"c004{n}") for n in range(3)] == [[], ["cap_user"], ["cap_user"]]


def test_what_the_gate_measures_with_is_never_trained_on(sqlite_store: Store) -> None:
    item = read_set(GENERAL)[0].model_copy(update={"id": "leak", "source": "import", "created_at": NOON})
    claim = claimed(sqlite_store, [item, *numbered(0, 5)])
    screen_version(sqlite_store, claim, SCREENER)
    assert "contaminated" in rules_of(sqlite_store, "leak")


def test_a_golden_set_is_never_trained_on_nor_what_was_taken_in_before_it(sqlite_store: Store, tmp_path: Path) -> None:
    before = numbered(0, 12)
    make_dataset(sqlite_store, claimed(sqlite_store, before), tmp_path / "v1", SCREENER)
    finish(sqlite_store)
    leak = conversation(50, reply="A reply to question fifty of the set.")
    later = claimed(sqlite_store, [leak, *numbered(60, 70)])
    make_dataset(sqlite_store, later, tmp_path / "v2", replace(SCREENER, golden=[before[4], leak]))
    assert rules_of(sqlite_store, "c0050") == ["contaminated"]
    assert "c0004" in ids(sqlite_store, tmp_path / "v1")
    assert ids(sqlite_store, tmp_path / "v2") == {one.id for one in [*before, *numbered(60, 70)]} - {"c0004"}


def test_the_manifest_counts_reasons_and_names_the_rules(sqlite_store: Store, tmp_path: Path) -> None:
    sqlite_store.conversations.capture([conversation(90 + n, reply="```never closed" + "!" * n) for n in range(3)])
    claim = claimed(sqlite_store, numbered(0, 40))
    manifest = make_dataset(sqlite_store, claim, tmp_path / "v1", SCREENER)
    assert rejections(manifest) == {"unclosed_code_fence": 3}
    assert manifest.details["rules_version"] == RULES_VERSION
    assert manifest.counts["train"] == len(datasets.read_train(tmp_path / "v1"))
    version = sqlite_store.versions.get(1)
    assert version.dataset_hash == manifest.dataset_hash
    assert version.counts["reasons"] == {"unclosed_code_fence": 3}


def test_a_dataset_whose_conversations_were_erased_is_made_anew(sqlite_store: Store, tmp_path: Path) -> None:
    claim = claimed(sqlite_store, numbered(0, 40))
    before = make_dataset(sqlite_store, claim, tmp_path / "v1", SCREENER)
    sqlite_store.conversations.erase_user("u7")
    again = sqlite_store.versions.claim("run")
    assert again is not None
    after = make_dataset(sqlite_store, again, tmp_path / "v1", SCREENER)
    assert after.dataset_hash != before.dataset_hash
    assert "c0007" not in ids(sqlite_store, tmp_path / "v1")


def test_what_was_trained_on_stays_as_it_is(sqlite_store: Store, tmp_path: Path) -> None:
    claim = claimed(sqlite_store, numbered(0, 40))
    before = make_dataset(sqlite_store, claim, tmp_path / "v1", SCREENER)
    sqlite_store.versions.mark_trained(claim, "a" * 64, {})
    assert make_dataset(sqlite_store, claim, tmp_path / "v1", replace(SCREENER, max_tokens=1)) == before


def alike(first: int, last: int, user: str) -> list[Conversation]:
    """Near-duplicates of one user, all later than those that are told apart by their number."""
    made = [conversation(number, user=user, reply=f"{LONG}. {number}") for number in range(first, last)]
    return [one.model_copy(update={"created_at": one.created_at + timedelta(days=1)}) for one in made]


def personal(store: Store, id_: str) -> dict[str, int] | None:
    query = select(conversations.c.personal).where(conversations.c.id == id_)
    found: dict[str, int] | None = store.database.read(lambda c: c.execute(query).scalar_one())
    return found


def finish(store: Store) -> None:
    """Conclude the unfinished version as rejected."""
    claim = store.versions.claim("run")
    assert claim is not None
    store.versions.mark_trained(claim, "a" * 64, {})
    verdict = Verdict(promoted=False, reasons=("no",), checks=(), thresholds=GateThresholds())
    store.versions.set_verdict(claim, verdict, "report.md")
    store.versions.conclude(claim, None)


@pytest.mark.parametrize(("threshold", "clusters"), [(0.8, 1), (1.0, 3)])
def test_how_near_a_near_duplicate_is_can_be_set(sqlite_store: Store, threshold: float, clusters: int) -> None:
    claim = claimed(sqlite_store, alike(10, 13, "ann"))
    screen_version(sqlite_store, claim, replace(SCREENER, near=threshold))
    query = select(conversations.c.cluster)
    found = sqlite_store.database.read(lambda c: c.execute(query).scalars().all())
    assert len(set(found)) == clusters


@pytest.mark.postgres
def test_a_version_is_screened_the_same_on_both_databases(
    postgres_store: Store, sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resources.pseudonyms.secrets.token_hex", one_secret)
    mail = conversation(90, reply="Write to ann@example.com, please.")
    batch = [*numbered(0, 30), *alike(30, 40, "ann"), mail, mail.model_copy(update={"id": "again", "user_id": "x"})]
    manifests = []
    for store, name in ((postgres_store, "postgres"), (sqlite_store, "sqlite")):
        claim = claimed(store, batch)
        manifests.append(make_dataset(store, claim, tmp_path / name, replace(SCREENER, piece=7)))
        assert make_dataset(store, claim, tmp_path / name, SCREENER) == manifests[-1]
    assert manifests[0] == manifests[1]
    assert rejections(manifests[0]).keys() >= {"cap_cluster"}
    assert manifests[0].counts["masked.email"] == 1


def test_the_tokenizer_stands_behind_the_one_that_decides(sqlite_store: Store) -> None:
    class Watched(FakeTokenizer):
        def encode_batch(self, texts: Sequence[str], /) -> list[list[int]]:
            levels.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
            return super().encode_batch(texts)

    levels: list[int] = []
    mine = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    screen_version(sqlite_store, claimed(sqlite_store, numbered(0, 3)), replace(SCREENER, tokenizer=Watched()))
    assert min(levels) > mine == os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_a_piece_of_long_conversations_is_a_short_one(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screening_rows, "PIECE_CHARACTERS", 10_000)
    batch = [conversation(number, reply=f"{number} " + "lorem " * 500) for number in range(9)]
    claim = claimed(sqlite_store, batch)
    taken = sqlite_store.database.read(lambda c: screening_rows.next_rows(c, claim.n, 0, 2_000))
    assert len(taken) == 4, "the fourth goes over 10,000 characters"
    monkeypatch.setattr(screening_rows, "PIECE_CHARACTERS", 1)
    screen_version(sqlite_store, claim, SCREENER)
    assert {
        row.quality is None
        for row in sqlite_store.database.read(lambda c: c.execute(select(conversations.c.quality)).all())
    } == {False}


def test_an_own_reply_whose_praise_was_taken_back_is_in_no_later_dataset(sqlite_store: Store, tmp_path: Path) -> None:
    own = [conversation(number).model_copy(update={"provenance": "self"}) for number in range(3)]
    sqlite_store.conversations.capture([*own, *numbered(3, 40)])
    for one in own:
        sqlite_store.conversations.feedback(Feedback(conversation_id=one.id, thumb=1))
    claim = sqlite_store.versions.claim("run")
    assert claim is not None
    screener = replace(SCREENER, caps=Caps(self_share=1.0))
    make_dataset(sqlite_store, claim, tmp_path / "v1", screener)
    assert {one.id for one in own} <= ids(sqlite_store, tmp_path / "v1")

    sqlite_store.conversations.feedback(Feedback(conversation_id=own[0].id, thumb=-1))
    sqlite_store.versions.release(claim)
    finish(sqlite_store)
    make_dataset(sqlite_store, claimed(sqlite_store, numbered(40, 50)), tmp_path / "v2", screener)
    assert {one.id for one in own} - ids(sqlite_store, tmp_path / "v2") == {own[0].id}
