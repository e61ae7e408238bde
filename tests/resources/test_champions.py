import pytest

from core.live_settings import LiveSettings
from resources.store import NotAllowed, NotFound, Store, open_store
from tests.resources.examples import SHA, claimed, conclude, event_types, verdict
from tests.resources.experiment_examples import design


def two_promoted(store: Store) -> None:
    conclude(store, claimed(store, "a"))
    conclude(store, claimed(store, "b"))


def test_before_the_first_version_the_base_answers(store: Store) -> None:
    champion = store.champion.get()
    assert (champion.n, champion.previous, champion.seq, champion.served) == (None, None, 0, None)


def test_a_rollback_names_its_reason_and_can_be_undone(store: Store) -> None:
    two_promoted(store)
    champion = store.champion.move(1, "it answers rudely", "a person")
    assert (champion.n, champion.previous, champion.seq) == (1, 2, 3)
    rolled_back = store.events.page(type="rolled_back")
    assert [event.data["reason"] for event in rolled_back] == ["it answers rudely"]
    assert store.champion.move(2, "it was the prompt", "a person").n == 2
    assert event_types(store)[-1] == "champion_moved"


def test_the_base_can_be_asked_back(store: Store) -> None:
    two_promoted(store)
    assert store.champion.move(None, "start again", "a person").n is None
    assert event_types(store)[-1] == "rolled_back"


def test_moving_to_where_it_is_changes_nothing(store: Store) -> None:
    two_promoted(store)
    before = store.champion.get()
    assert store.champion.move(2, "again", "a person") == before
    assert event_types(store)[-1] == "promoted"


def test_a_version_that_did_not_pass_needs_an_override(store: Store) -> None:
    conclude(store, claimed(store, "a"), promoted=False)
    with pytest.raises(NotAllowed, match="passed its gate"):
        store.champion.move(1, "I like it", "a person")
    assert store.champion.move(1, "I like it", "a person", override=True).n == 1


def test_what_was_never_trained_or_never_was_cannot_answer(store: Store) -> None:
    claimed(store, "a")
    with pytest.raises(NotAllowed, match="trained"):
        store.champion.move(1, "now", "a person", override=True)
    with pytest.raises(NotFound, match="v9"):
        store.champion.move(9, "now", "a person")
    with pytest.raises(NotAllowed, match="reason"):
        store.champion.move(None, "  ", "a person")


def test_a_version_that_passed_its_gate_answers_only_once_it_is_concluded(store: Store) -> None:
    claim = claimed(store, "a")
    store.versions.mark_trained(claim, SHA, {})
    store.versions.set_verdict(claim, verdict(promoted=True), "report.md")
    with pytest.raises(NotAllowed, match="concluded, found v1 in state trained"):
        store.champion.move(1, "now", "a person", override=True)
    store.versions.conclude(claim, "1")
    assert store.champion.get().n == 1


def test_each_base_has_its_own_champion(store: Store, store_url: str) -> None:
    two_promoted(store)
    other = open_store(store_url, live_defaults=LiveSettings(), lineage="another base")
    assert other.champion.get().n is None
    with pytest.raises(NotAllowed, match="another base"):
        other.champion.move(2, "now", "a person", override=True)
    other.close()
    assert store.champion.get().n == 2


def test_the_alias_and_the_engine_are_noted_without_a_move(store: Store) -> None:
    two_promoted(store)
    store.champion.confirm_alias(2)
    store.champion.mark_served(2, 0.42)
    store.champion.mark_served(2, 3.0)
    champion = store.champion.get()
    assert (champion.alias_confirmed, champion.served, champion.seq) == (2, 2, 2)
    swaps = store.events.page(type="swapped")
    assert [(event.version, event.data["seconds"]) for event in swaps] == [(2, 0.42)]


def test_an_alias_can_be_confirmed_before_the_first_version(store: Store) -> None:
    store.champion.confirm_alias(None)
    conclude(store, claimed(store, "a"))
    assert store.champion.get().seq == 1


def test_promoting_archives_the_one_before_and_only_a_roll_back_brings_it_back(store: Store) -> None:
    two_promoted(store)
    assert archived(store) == {1}
    with pytest.raises(NotAllowed, match="found v1 archived: roll back to it"):
        store.champion.promote(1, by="a person")
    champion = store.champion.roll_back("it answers rudely", by="a person")
    assert (champion.n, champion.previous) == (1, 2)
    assert archived(store) == {2}
    assert store.champion.roll_back(by="a person").n == 2
    assert event_types(store)[-2:] == ["rolled_back", "rolled_back"]


def test_force_promotes_what_did_not_pass_but_says_why(store: Store) -> None:
    conclude(store, claimed(store, "a"), promoted=False)
    with pytest.raises(NotAllowed, match="passed its gate"):
        store.champion.promote(1, "I like it", by="a person")
    with pytest.raises(NotAllowed, match="a reason"):
        store.champion.promote(1, "  ", by="a person", force=True)
    assert store.champion.promote(1, "I like it", by="a person", force=True).n == 1
    assert store.champion.roll_back(by="a person").n is None
    assert store.champion.roll_back(by="a person").n == 1  # it answered before, so nobody need insist again


def test_a_roll_back_may_name_where_to(store: Store) -> None:
    two_promoted(store)
    conclude(store, claimed(store, "c"))
    conclude(store, claimed(store, "d"), promoted=False)
    assert store.champion.roll_back(by="a person", to=1).n == 1
    assert store.champion.roll_back(by="a person", to=None).n is None
    with pytest.raises(NotAllowed, match="passed its gate"):
        store.champion.roll_back(by="a person", to=4)
    with pytest.raises(NotFound):
        store.champion.roll_back(by="a person", to=9)


def test_without_a_champion_before_there_is_nothing_to_roll_back_to(store: Store) -> None:
    with pytest.raises(NotAllowed, match="nothing was ever promoted"):
        store.champion.roll_back(by="a person")


def test_what_has_no_files_any_more_never_becomes_champion(store: Store) -> None:
    two_promoted(store)
    with pytest.raises(NotAllowed, match="the files of v1"):
        store.champion.roll_back(by="a person", on_disk=["v2"])
    store.champion.move(None, "start again", "a person")
    with pytest.raises(NotAllowed, match="the files of v2"):
        store.champion.promote(2, "so be it", by="a person", force=True, on_disk=["v1"])


def test_a_champion_that_the_engine_refuses_gives_way_to_who_answers_and_is_not_the_one_before(store: Store) -> None:
    two_promoted(store)
    conclude(store, claimed(store, "c"))
    assert store.champion.give_up(3, 2, "its files are damaged")
    champion = store.champion.get()
    assert (champion.n, champion.previous) == (2, 1)
    (event,) = store.events.page(type="rolled_back")
    assert (event.data["by"], event.data["from"], event.data["to"]) == ("the engine", 3, 2)
    assert not store.champion.give_up(3, 2, "again")
    store.champion.move(3, "try again", "a person")
    assert store.champion.give_up(3, 2, "its files are damaged still")
    assert store.champion.get().previous == 1
    assert store.champion.give_up(2, None, "and this one too")
    assert (store.champion.get().n, store.champion.get().previous) == (None, None)


def test_what_is_archived_is_no_candidate_and_is_told_once(store: Store) -> None:
    two_promoted(store)
    conclude(store, claimed(store, "c"), promoted=False)
    for _ in range(2):
        store.champion.archive(3, "too rude", by="a person")
    assert archived(store) == {1, 3}
    assert [(event.version, event.data["by"]) for event in store.events.page(type="archived")] == [(3, "a person")]


def test_the_champion_and_what_is_not_concluded_cannot_be_archived(store: Store) -> None:
    two_promoted(store)
    with pytest.raises(NotAllowed, match="found v2 champion"):
        store.champion.archive(2, by="a person")
    claimed(store, "c")
    with pytest.raises(NotAllowed, match="found v3 in state open"):
        store.champion.archive(3, by="a person")
    with pytest.raises(NotFound):
        store.champion.archive(9, by="a person")


def test_what_an_experiment_needs_cannot_be_archived_before_it_ends(store: Store) -> None:
    two_promoted(store)
    running = store.experiments.add(design())
    with pytest.raises(NotAllowed, match="stop or conclude it"):
        store.champion.archive(1, by="a person")
    store.experiments.stop(running.id, "enough", "a person")
    store.champion.archive(1, by="a person")


def archived(store: Store) -> set[int]:
    return {version.n for version in store.versions.history() if version.archived_at is not None}


def test_a_whole_model_is_put_in_use_by_hand_and_never_answers_as_an_adapter(store: Store) -> None:
    store.settings.change({"finetune_method": "full"}, "a person")
    claim = claimed(store, "a")
    store.versions.mark_trained(claim, SHA, {})
    store.versions.set_verdict(claim, verdict(promoted=True), "report.md")
    with pytest.raises(NotAllowed, match="whole model"):
        store.versions.conclude(claim, "1", override_reason="I like it")
    store.versions.set_verdict(claim, verdict(promoted=False), "report.md")
    assert store.versions.conclude(claim, "1").state == "rejected"
    with pytest.raises(NotAllowed, match="BASE_MODEL to trained_models/v1"):
        store.champion.promote(1, "I like it", by="a person", force=True)
    assert store.champion.get().n is None
