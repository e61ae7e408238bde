"""An erasure in files: finished whatever breaks, and only theirs is touched."""

import json
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from core.sides import SIDES
from core.verdict import ArtifactSanity, Evaluation, Lift, Overlap, PairedLoss
from resources import datasets, erased_places, folders
from resources.agent_memory import FILE_NAME, AgentMemory
from resources.erasing import erase_again, finish, places_of
from resources.erasure_rows import Pending
from resources.screening import Screener, make_dataset
from resources.store import Store
from resources.tables import erasures, utc_now
from resources.versions import Claim
from tests.dataset_folder import write_dataset
from tests.fakes import FakeTokenizer
from tests.own_names import read_own
from tests.resources.examples import conclude, conversation, fill
from tests.resources.experiment_examples import replies, started

AT_ONCE = timedelta(0)


def trained(store: Store, state: Path, users: dict[str, int], *, end: bool = True) -> Claim:
    """A version with a dataset of that many conversations of each user."""
    for user, number in users.items():
        n = store.versions.next_number()
        fill(store, *(f"{user}-{n}-{at}" for at in range(number)), user_id=user)
    claim = store.versions.claim("run")
    assert claim is not None
    make_dataset(store, claim, state / "datasets" / f"v{claim.n}", Screener(FakeTokenizer(), 100))
    if end:
        conclude(store, claim)
    return claim


def users_in(store: Store, folder: Path) -> set[str | None]:
    return {c.user_id for side in SIDES for c in read_own(store, folder, side)}


def evaluation(state: Path, n: int, units: dict[str, str]) -> Path:
    pairs = tuple(
        PairedLoss(conversation_id=id, unit=unit, tokens=3, base=2, candidate=1) for id, unit in units.items()
    )
    sanity = ArtifactSanity(finite=True, changed=True, right_base=True)
    overlaps = tuple(Overlap(conversation_id=id, unit=unit, base=1, candidate=2) for id, unit in units.items())
    lifts = tuple(Lift(conversation_id=id, unit=unit, rows=4, base=1, candidate=2) for id, unit in units.items())
    found = Evaluation(
        version=n, base_fingerprint="b", held_out=pairs, general=pairs[:1], sanity=sanity,
        overlaps=overlaps, lifts=lifts, golden=pairs, golden_overlaps=overlaps,
    )  # fmt: skip
    path = state / "reports" / f"v{n}" / "evaluation.json"
    folders.write_whole(path, found.model_dump_json())
    return path


def row_of(store: Store) -> Any:
    return store.database.read(lambda c: c.execute(select(erasures).order_by(erasures.c.id.desc())).first())


def everything_under(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_an_earlier_dataset_is_rewritten_without_them_and_says_so(sqlite_store: Store, tmp_path: Path) -> None:
    trained(sqlite_store, tmp_path, {"u": 5, "v": 20})
    folder = tmp_path / "datasets" / "v1"
    before = datasets.read_manifest(folder)
    sqlite_store.conversations.erase_user("u")
    assert finish(sqlite_store, places_of(sqlite_store, tmp_path)) == 5
    manifest = folders.check(folder)
    assert users_in(sqlite_store, folder) == {"v"}
    assert manifest.dataset_hash == before.dataset_hash, "what the adapter was trained on can still be told"
    removed = {side: manifest.counts.get(f"erased.{side}", 0) for side in SIDES}
    assert sum(removed.values()) == 5
    assert {side: manifest.counts[side] + n for side, n in removed.items()} == {n: before.counts[n] for n in SIDES}
    assert {side: len(datasets.read_side(folder, side)) for side in SIDES} == {n: manifest.counts[n] for n in SIDES}
    assert [path.name for path in folder.parent.iterdir()] == ["v1"]


def test_a_dataset_of_an_earlier_release_that_calls_them_by_name_forgets_them_too(
    sqlite_store: Store, tmp_path: Path
) -> None:
    trained(sqlite_store, tmp_path, {"u": 5, "v": 20})
    folder = tmp_path / "datasets" / "v1"
    stored = [item.conversation for item in sqlite_store.conversations.page(1, 200).items]
    shutil.rmtree(folder)
    write_dataset(folder, stored, [], units={one.id: f"user:{one.user_id}" for one in stored})
    evaluation(tmp_path, 1, {"u-1-0": "user:u", sqlite_store.pseudonyms().id("u-1-1"): "unit-3", "v-1-0": "unit-4"})
    assert sqlite_store.conversations.erase_user("u").versions == (1,)
    assert finish(sqlite_store, places_of(sqlite_store, tmp_path)) == 5 + 11
    assert users_in(sqlite_store, folder) == {"v"}
    for path in [*folder.iterdir(), *(tmp_path / "reports").rglob("*.json")]:
        assert b"u-1-" not in path.read_bytes()
        assert sqlite_store.pseudonyms().id("u-1-1").encode() not in path.read_bytes()


def test_who_is_only_in_a_restored_dataset_is_known_by_pseudonym(sqlite_store: Store, tmp_path: Path) -> None:
    trained(sqlite_store, tmp_path, {"u": 5, "v": 20})
    shutil.copytree(tmp_path / "datasets", tmp_path / "copy")
    sqlite_store.conversations.erase_user("u")
    finish(sqlite_store, places_of(sqlite_store, tmp_path), AT_ONCE)
    past = sqlite_store.erasures.past()
    sqlite_store.database.write(lambda c: c.execute(erasures.delete()))  # as before anybody was erased
    shutil.rmtree(tmp_path / "datasets")
    (tmp_path / "copy").rename(tmp_path / "datasets")
    places = places_of(sqlite_store, tmp_path)
    assert users_in(sqlite_store, tmp_path / "datasets" / "v1") == {"v", sqlite_store.pseudonyms().of("u")}
    assert erase_again(sqlite_store, places, past) == 1
    assert users_in(sqlite_store, tmp_path / "datasets" / "v1") == {"v"}


def test_a_second_erasure_adds_to_the_first(sqlite_store: Store, tmp_path: Path) -> None:
    trained(sqlite_store, tmp_path, {"u": 5, "w": 4, "v": 20})
    for user in ("u", "w"):
        sqlite_store.conversations.erase_user(user)
        finish(sqlite_store, places_of(sqlite_store, tmp_path))
    manifest = folders.check(tmp_path / "datasets" / "v1")
    assert sum(n for key, n in manifest.counts.items() if key.startswith("erased.")) == 9


def test_a_dataset_without_them_is_not_touched(sqlite_store: Store, tmp_path: Path) -> None:
    trained(sqlite_store, tmp_path, {"v": 20})
    folder = tmp_path / "datasets" / "v1"
    before = (folder.stat().st_ino, everything_under(folder))
    sqlite_store.conversations.erase_user("u")
    assert finish(sqlite_store, places_of(sqlite_store, tmp_path)) == 0
    assert (folder.stat().st_ino, everything_under(folder)) == before


def test_a_dataset_in_training_is_removed_and_made_anew_without_them(sqlite_store: Store, tmp_path: Path) -> None:
    claim = trained(sqlite_store, tmp_path, {"u": 5, "v": 20}, end=False)
    sqlite_store.conversations.erase_user("u")
    finish(sqlite_store, places_of(sqlite_store, tmp_path))
    assert not (tmp_path / "datasets" / "v1").exists()
    again = sqlite_store.versions.claim("run-2")
    assert again is not None
    assert again.n == claim.n
    make_dataset(sqlite_store, again, tmp_path / "datasets" / "v1", Screener(FakeTokenizer(), 100))
    finish(sqlite_store, places_of(sqlite_store, tmp_path), AT_ONCE)
    assert users_in(sqlite_store, tmp_path / "datasets" / "v1") == {"v"}


def test_what_a_person_says_after_the_erasure_stays(sqlite_store: Store, tmp_path: Path) -> None:
    trained(sqlite_store, tmp_path, {"u": 5, "v": 20})
    sqlite_store.conversations.erase_user("u")
    finish(sqlite_store, places_of(sqlite_store, tmp_path))
    fill(sqlite_store, *(f"since-{n}" for n in range(5)), user_id="u", created_at=utc_now())
    trained(sqlite_store, tmp_path, {})
    finish(sqlite_store, places_of(sqlite_store, tmp_path), AT_ONCE)
    assert users_in(sqlite_store, tmp_path / "datasets" / "v2") == {"u", "v"}
    assert users_in(sqlite_store, tmp_path / "datasets" / "v1") == {"v"}


def test_what_was_on_its_way_while_they_were_erased_is_erased_as_well(sqlite_store: Store, tmp_path: Path) -> None:
    sqlite_store.conversations.erase_user("u")
    places = places_of(sqlite_store, tmp_path)
    finish(sqlite_store, places)
    fill(sqlite_store, "said before", user_id="u", created_at=utc_now() - timedelta(minutes=1))
    fill(sqlite_store, "said since", user_id="u", created_at=utc_now())
    for _ in range(3):
        finish(sqlite_store, places, AT_ONCE)
    assert [item.conversation.id for item in sqlite_store.conversations.page().items] == ["said since"]
    assert [event.data["deleted"] for event in sqlite_store.events.page(type="user_erased")] == [1, 0]
    assert len(sqlite_store.events.page(type="erasure_finished")) == 2
    assert sqlite_store.erasures.due(AT_ONCE) == []


def test_what_an_experiment_noted_late_of_who_was_erased_goes_and_what_came_since_stays(
    sqlite_store: Store, tmp_path: Path
) -> None:
    experiment = started(sqlite_store)
    before, since = utc_now() - timedelta(minutes=1), utc_now() + timedelta(minutes=1)
    mine, other = replies(experiment, "a", 2)
    first, again = replace(mine, created_at=before), replace(mine, conversation_id="again", created_at=since)
    in_a_thread = replace(first, unit="thread:t", conversation_id="in a thread")
    sqlite_store.conversations.erase_user(mine.user_id or "")
    finish(sqlite_store, places_of(sqlite_store, tmp_path))
    sqlite_store.experiments.record([first, in_a_thread, again, other])
    finish(sqlite_store, places_of(sqlite_store, tmp_path), AT_ONCE)
    noted = [log.served for log in sqlite_store.experiments.logs(experiment.id).items]
    assert [(one.unit, one.conversation_id) for one in noted] == [
        (other.unit, other.conversation_id),
        (mine.unit, "again"),
    ]
    _, (control, _) = sqlite_store.experiments.figures(experiment.id)
    assert control.exposed == 2  # the other, and the thread that names nobody


@pytest.mark.parametrize("hidden", [False, True])
def test_another_persons_row_keeps_no_unit_with_their_name(sqlite_store: Store, tmp_path: Path, hidden: bool) -> None:
    both = [conversation("a", user_id="u"), conversation("b", user_id="v")]
    folder = tmp_path / "datasets" / "v1"
    name = sqlite_store.pseudonyms().of("u") if hidden else "u"
    write_dataset(folder, both, [], units=dict.fromkeys("ab", f"user:{name}"))
    sqlite_store.conversations.erase_user("u")
    finish(sqlite_store, places_of(sqlite_store, tmp_path))
    (unit,) = datasets.read_units(folder).values()
    assert unit.startswith("erased:")


def test_a_report_keeps_its_losses_and_clusters_and_loses_their_names(sqlite_store: Store, tmp_path: Path) -> None:
    fill(sqlite_store, "u1", "u2", user_id="u", thread_id="t9")
    pairs = {"u1": "user:u", "u2": "user:u", "x": "thread:t9", "v1": "user:v", "v2": "unit-2"}
    path = evaluation(tmp_path, 1, pairs)
    copy = tmp_path / "mlartifacts" / "1" / "abc" / "artifacts" / "report" / "evaluation.json"
    copy.parent.mkdir(parents=True)
    shutil.copy(path, copy)
    sqlite_store.conversations.erase_user("u")
    finish(sqlite_store, places_of(sqlite_store, tmp_path))
    for file in (path, copy):
        found = Evaluation.model_validate_json(file.read_bytes())
        units = [pair.unit for pair in found.held_out]
        assert [pair.base for pair in found.held_out] == [2.0] * 5
        assert (units[0] == units[1], units[0] != units[2], units[3:]) == (True, True, ["user:v", "unit-2"])
        assert len({pair.conversation_id for pair in found.held_out}) == 5
        text = file.read_text()
        assert not [name for name in ("u1", "u2", "user:u", "t9") if f'"{name}"' in text]


def test_copies_of_resets_lose_their_lines_and_stay_private(sqlite_store: Store, tmp_path: Path) -> None:
    fill(sqlite_store, "theirs", user_id="u", reply="an unmistakable secret")
    fill(sqlite_store, "another's", user_id="v")
    copy = tmp_path / "backups" / "conversations-1.jsonl"
    sqlite_store.conversations.clear_waiting(copy)
    (copy.parent / "notes.jsonl").write_text("no line of ours\n{}\n")
    assert sqlite_store.conversations.erase_user("u").deleted == 0, "the store forgot them in the reset"
    assert finish(sqlite_store, places_of(sqlite_store, tmp_path)) == 1
    (line,) = copy.read_text().splitlines()
    assert json.loads(line)["conversation"]["id"] == "another's"
    assert copy.stat().st_mode & 0o777 == 0o600
    assert b"unmistakable" not in everything_under(tmp_path / "backups")


class Breaking:
    """A place that fails until it is repaired, as a full disk would."""

    def __init__(self) -> None:
        self.name, self.broken, self.asked = "memory", True, 0

    def erase(self, who: Pending) -> int:
        self.asked += 1
        if self.broken:
            raise OSError(f"no space left for {who.user_id}")
        return 2

    def users(self) -> set[str]:
        return set()


def test_one_place_that_fails_stops_no_other_and_is_tried_again(sqlite_store: Store, tmp_path: Path) -> None:
    trained(sqlite_store, tmp_path, {"somebody": 5, "v": 20})
    sqlite_store.conversations.erase_user("somebody")
    breaking = Breaking()
    places = [breaking, *places_of(sqlite_store, tmp_path)]
    with pytest.raises(RuntimeError, match="OSError in memory") as raised:
        finish(sqlite_store, places, AT_ONCE)
    assert "somebody" not in str(raised.value)
    assert users_in(sqlite_store, tmp_path / "datasets" / "v1") == {"v"}
    assert row_of(sqlite_store).user_id == "somebody", "it is needed until everything is done"
    breaking.broken = False
    assert finish(sqlite_store, places, AT_ONCE) == 2
    assert (row_of(sqlite_store).user_id, row_of(sqlite_store).names) == (None, {})


def test_an_erasure_is_done_after_the_second_sweep_and_then_names_nobody(sqlite_store: Store, tmp_path: Path) -> None:
    trained(sqlite_store, tmp_path, {"somebody": 5, "v": 20})
    AgentMemory(tmp_path / FILE_NAME).begin("a thread", "somebody")
    erased = sqlite_store.conversations.erase_user("somebody")
    breaking = Breaking()
    breaking.broken = False
    places = [breaking, *places_of(sqlite_store, tmp_path)]
    finish(sqlite_store, places)
    finish(sqlite_store, places)
    assert breaking.asked == 1, "what is swept is not swept again before it is settled"
    assert sqlite_store.events.page(type="erasure_finished") == []
    finish(sqlite_store, places, AT_ONCE)
    finish(sqlite_store, places, AT_ONCE)
    assert breaking.asked == 2
    (event,) = sqlite_store.events.page(type="erasure_finished")
    removed = {"memory": 4, "reports": 0, "datasets": 5, "resets": 0, "uploads": 0, "agent": 1}
    removed["measured answers"] = 0
    assert event.data == {"erasure": erased.id, "removed": removed, "versions": [1]}
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or b"somebody" not in file.read_bytes(), file


@pytest.mark.parametrize("dies_in", ["_copy_table", "hashes", "before the exchange", "after the exchange"])
def test_a_kill_at_any_moment_leaves_a_whole_dataset_and_the_next_sweep_ends_it(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_in: str
) -> None:
    trained(sqlite_store, tmp_path, {"u": 5, "v": 20})
    sqlite_store.conversations.erase_user("u")
    places = places_of(sqlite_store, tmp_path)
    folder, swap = tmp_path / "datasets" / "v1", folders.swap

    def die(*arguments: Any) -> None:
        if dies_in == "after the exchange":
            swap(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        module = erased_places if dies_in == "_copy_table" else folders
        killed.setattr(module, dies_in if hasattr(module, dies_in) else "swap", die)
        killed.setattr(shutil, "rmtree", lambda *arguments, **named: None)  # who is killed tidies nothing up
        with pytest.raises(KeyboardInterrupt):
            finish(sqlite_store, places)
    assert folders.is_whole(folder)
    finish(sqlite_store, places)
    assert users_in(sqlite_store, folder) == {"v"}
    assert [path.name for path in folder.parent.iterdir()] == ["v1"]


def test_what_a_kill_left_of_a_rewritten_copy_is_removed(sqlite_store: Store, tmp_path: Path) -> None:
    fill(sqlite_store, "theirs", user_id="u")
    fill(sqlite_store, "another's", user_id="v")
    copy = tmp_path / "backups" / "c.jsonl"
    sqlite_store.conversations.clear_waiting(copy)
    (tmp_path / "backups" / "c.jsonl.tmp-erasing").write_bytes(b"half a li")
    sqlite_store.conversations.erase_user("u")
    finish(sqlite_store, places_of(sqlite_store, tmp_path))
    assert [path.name for path in copy.parent.iterdir()] == ["c.jsonl"]
    assert len(copy.read_text().splitlines()) == 1


def test_who_was_erased_since_a_copy_of_the_store_was_made_is_erased_from_it_again(
    sqlite_store: Store, sqlite_url: str, tmp_path: Path
) -> None:
    trained(sqlite_store, tmp_path, {"early": 3, "late": 5, "v": 20})
    sqlite_store.conversations.erase_user("early")
    fill(sqlite_store, "back", user_id="early", created_at=utc_now())
    sqlite_store.database.forget_deleted()
    store_file, copy = tmp_path / "whetstone.db", tmp_path / "copy.db"
    shutil.copy(store_file, copy)
    shutil.copytree(tmp_path / "datasets", tmp_path / "datasets-copy")
    sqlite_store.conversations.erase_user("late")
    past = sqlite_store.erasures.past()
    restored = Store(f"sqlite:///{copy}", live_defaults=sqlite_store.settings.get())
    shutil.rmtree(tmp_path / "datasets")
    (tmp_path / "datasets-copy").rename(tmp_path / "datasets")
    places = places_of(restored, tmp_path)
    assert erase_again(restored, places, past) == 1
    assert {item.conversation.user_id for item in restored.conversations.page(1, 200).items} == {"v", "early"}
    assert users_in(sqlite_store, tmp_path / "datasets" / "v1") == {"v"}
    assert erase_again(restored, places, past) == 0, "and is not done twice"
    restored.close()


def test_everybody_of_whom_a_place_keeps_something_is_known(sqlite_store: Store, tmp_path: Path) -> None:
    trained(sqlite_store, tmp_path, {"u": 5, "v": 20})
    evaluation(tmp_path, 1, {"a": "user:w", "b": "thread:t"})
    fill(sqlite_store, "waits", user_id="x")
    fill(sqlite_store, "nobody's")
    sqlite_store.conversations.clear_waiting(tmp_path / "backups" / "c.jsonl")
    AgentMemory(tmp_path / FILE_NAME).begin("a thread", "y")
    found = {place.name: place.users() for place in places_of(sqlite_store, tmp_path)}
    people = {sqlite_store.pseudonyms().of(name) for name in "uv"}
    assert found.pop("measured answers") == set(), "whose they are stands nowhere"
    assert found == {"datasets": people, "reports": {"w"}, "resets": {"x"}, "uploads": set(), "agent": {"y"}}


def test_what_is_pending_is_told_until_it_is_finished_and_recognised_for_ever(store: Store) -> None:
    fill(store, "theirs", user_id="u", thread_id="t")
    fill(store, "another's", user_id="v")
    erased = store.conversations.erase_user("u")
    (pending,) = store.erasures.due(timedelta(minutes=10))
    assert (pending.id, pending.user_id, pending.last) == (erased.id, "u", False)
    assert (pending.ids, pending.threads) == ({"theirs"}, {"t"})
    assert store.erasures.unknown(["theirs", "another's"], "u") == {"theirs"}
    assert store.erasures.users() == {"v"}
    store.erasures.swept(pending, {"datasets": 2})
    assert store.erasures.due(timedelta(minutes=10)) == []
    (pending,) = store.erasures.due(AT_ONCE)
    store.erasures.swept(pending, {"datasets": 1, "resets": 4})
    assert store.erasures.due(AT_ONCE) == []
    (event,) = store.events.page(type="erasure_finished")
    assert event.data["removed"] == {"datasets": 3, "resets": 4}
    (past,) = store.erasures.past()
    assert (past.was_of("u"), past.was_of("v")) == (True, False)
    store.erasures.adopt([past])
    assert [one.digest for one in store.erasures.past()] == [past.digest] * 2


def test_what_models_answered_to_their_prompts_is_forgotten(sqlite_store: Store, tmp_path: Path) -> None:
    cache = tmp_path / "cache" / "losses"
    cache.mkdir(parents=True)
    (cache / "answers.json").write_text('["Dear Ann, ..."]', encoding="utf-8")
    sqlite_store.conversations.erase_user("ann")
    finish(sqlite_store, places_of(sqlite_store, tmp_path))
    assert list(cache.iterdir()) == []
