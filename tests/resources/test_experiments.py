"""Experiments in the store: one at a time, exposures once, stopped by themselves, ended with what they found."""

from dataclasses import replace

import pytest

from core.experiment_results import results
from core.live_settings import LiveSettings
from resources import experiment_endings
from resources.aliases import reconcile
from resources.conversations import Feedback
from resources.events import WEBHOOK_TYPES
from resources.experiments import Served
from resources.store import NotAllowed, NotFound, Store
from tests.fakes import FakeRegistry
from tests.resources.examples import claimed, conclude, conversation, event_types
from tests.resources.experiment_examples import design, replies, started, two_versions, units


def test_it_starts_and_is_found_again(store: Store) -> None:
    experiment = started(store)
    assert experiment.status == "running"
    assert store.experiments.running() == experiment == store.experiments.get(experiment.id)
    assert event_types(store)[-1] == "experiment_started"


def test_a_second_one_over_the_same_traffic_is_refused_and_nothing_stays_of_it(store: Store) -> None:
    started(store)
    with pytest.raises(NotAllowed, match="no other running experiment"):
        store.experiments.add(design(name="second"))
    assert store.experiments.page().total == 1


def test_a_draft_waits_until_it_is_started(store: Store) -> None:
    first = started(store)
    draft = store.experiments.add(design(name="second"), start=False)
    assert draft.status == "draft"
    with pytest.raises(NotAllowed, match="no other running"):
        store.experiments.change(draft.id, start=True)
    store.experiments.stop(first.id, "enough", "a person")
    assert store.experiments.change(draft.id, start=True).running


def test_arms_must_be_versions_that_passed_their_gate(store: Store) -> None:
    two_versions(store)
    conclude(store, claimed(store, "three"), promoted=False)
    arms = design().model_dump()["arms"]
    with pytest.raises(NotFound, match="v9"):
        store.experiments.add(design(arms=[arms[0], {**arms[1], "model": "v9"}]))
    with pytest.raises(NotAllowed, match="v3 in state rejected"):
        store.experiments.add(design(arms=[arms[0], {**arms[1], "model": "v3"}]))
    assert store.experiments.page().total == 0


def test_coverage_only_grows_while_it_runs(store: Store) -> None:
    experiment = started(store, coverage=0.2)
    assert store.experiments.change(experiment.id, coverage=0.6).design.coverage == 0.6
    with pytest.raises(NotAllowed, match=r"at least 0\.6"):
        store.experiments.change(experiment.id, coverage=0.5)
    assert store.experiments.change(experiment.id, description="새 말투").design.description == "새 말투"


def test_an_exposure_is_written_once_and_its_arm_stays(store: Store) -> None:
    experiment = started(store)
    unit = units(experiment, "a", 1)[0]
    seen = Served(experiment.id, unit, "a")
    assert [store.experiments.assign(experiment.id, seen) for _ in range(2)] == ["a", "a"]
    assert store.experiments.assign(experiment.id, replace(seen, arm="b")) == "a"
    _, (control, _) = store.experiments.figures(experiment.id)
    assert control.exposed == 1


def test_a_reply_handed_over_twice_counts_once(store: Store) -> None:
    experiment = started(store)
    batch = replies(experiment, "a", 3, rating=4)
    store.experiments.record(batch + batch[:1])
    store.experiments.record(batch)
    _, (control, _) = store.experiments.figures(experiment.id)
    assert (control.exposed, control["latency"].users) == (3, 3)
    assert store.experiments.logs(experiment.id).total == 3


def test_figures_are_means_a_user(store: Store) -> None:
    experiment = started(store)
    unit = units(experiment, "b", 1)[0]
    said = [Served(experiment.id, unit, "b", seconds=s, length=n, rating=r) for s, n, r in ((1.0, 10, 5), (3.0, 0, 2))]
    store.experiments.record([*said, Served(experiment.id, unit, "b", failed=True)])
    _, (_, challenger) = store.experiments.figures(experiment.id)
    means = {name: sums.means.tolist() for name, sums in challenger.metrics.items() if sums.users}
    assert means == {
        "rating": [3.5],
        "latency": [2.0],
        "length": [5.0],
        "errors": [pytest.approx(1 / 3)],
        "empty": [0.5],
    }


def test_feedback_joins_the_arm_of_its_conversation(store: Store) -> None:
    experiment = started(store)
    (one, other) = replies(experiment, "a", 2)
    store.experiments.record([one, other])
    failed = replace(replies(experiment, "a", 3)[2], failed=True)
    store.experiments.record([failed])
    for served in (one, other, failed):
        store.conversations.capture([conversation(served.conversation_id or "", provenance="self", model="v1")])
    store.conversations.feedback(Feedback(conversation_id=one.conversation_id or "", thumb=1))
    store.conversations.feedback(Feedback(conversation_id=other.conversation_id or "", rating=2))
    store.conversations.feedback(Feedback(conversation_id=other.conversation_id or "", corrected_reply="So."))
    store.conversations.feedback(Feedback(conversation_id=failed.conversation_id or "", rating=5))
    _, (control, _) = store.experiments.figures(experiment.id)
    assert control["thumbs_up"].means.tolist() == [1.0]
    assert control["rating"].means.tolist() == [2.0]
    assert sorted(control["corrected"].means.tolist()) == [0.0, 1.0]


def test_what_users_rated_before_corrects_what_they_rate_now(store: Store) -> None:
    store.conversations.capture([conversation(f"old-{number}", user_id=str(number)) for number in range(130)])
    for number in range(130):
        store.conversations.feedback(Feedback(conversation_id=f"old-{number}", rating=1 + number % 5))
    experiment = started(store)
    store.experiments.record([*replies(experiment, "a", 50, rating=3), *replies(experiment, "b", 50, rating=4)])
    _, (control, _) = store.experiments.figures(experiment.id)
    assert control["rating"].past is not None
    assert set(control["rating"].past) <= {1.0, 2.0, 3.0, 4.0, 5.0}


def test_a_log_of_another_arm_is_refused(store: Store) -> None:
    experiment = started(store)
    served = replies(experiment, "a", 1)[0]
    with pytest.raises(NotAllowed, match="Expected variant a, found b"):
        store.experiments.log(replace(served, arm="b"))
    assert store.experiments.log(served).id == 1
    assert store.experiments.logs(experiment.id).items[0].served.unit == served.unit


def test_personal_data_in_a_log_is_masked_before_it_is_stored(store: Store) -> None:
    experiment = started(store)
    served = replies(experiment, "a", 1)[0]
    told = store.experiments.log(replace(served, query="제 번호는 900101-1234568 입니다", comment="kim@example.com"))
    assert (told.served.query, told.served.comment) == ("제 번호는 [RRN] 입니다", "[EMAIL_1]")
    assert store.experiments.logs(experiment.id).items[0].served.query == told.served.query


def test_harm_stops_it_with_an_event_for_the_webhook(store: Store) -> None:
    experiment = started(store)
    store.experiments.record(replies(experiment, "a", 60) + replies(experiment, "b", 60, failed=True))
    assert "replies of arm b failed" in store.experiments.look()[0]
    ended = store.experiments.get(experiment.id)
    assert (ended.status, ended.ended_by) == ("stopped", "guardrail")
    assert ended.results is not None
    assert store.experiments.running() is None
    assert "guardrail_stop" in WEBHOOK_TYPES
    assert store.events.page(type="guardrail_stop")[0].data["metric"] == "errors"
    assert store.experiments.look() == []


def test_no_harm_no_stop(store: Store) -> None:
    experiment = started(store, target_samples=1000)
    store.experiments.record(replies(experiment, "a", 80, rating=4) + replies(experiment, "b", 80, rating=4))
    assert store.experiments.look() == []
    assert store.experiments.get(experiment.id).running


def test_a_split_that_does_not_fit_is_told_once(store: Store) -> None:
    experiment = started(store, target_samples=1000)
    store.experiments.record(replies(experiment, "a", 100) + replies(experiment, "b", 40))
    assert "do not fit the planned split" in store.experiments.look()[0]
    assert store.experiments.look() == []
    assert store.experiments.results(experiment.id)[1].outcome == "blocked"
    assert store.events.page(type="experiment_split")[0].data["seen"] == {"a": 100, "b": 40}


def test_a_look_is_taken_once_when_it_is_due(store: Store) -> None:
    experiment = started(store, target_samples=50)
    store.experiments.record(
        replies(experiment, "a", 40, rating=3, each=7) + replies(experiment, "b", 40, rating=4, each=7)
    )
    assert "look 1 at 80%" in store.experiments.look()[0]
    assert store.experiments.look() == []
    found, results = store.experiments.results(experiment.id)
    assert [look.fraction for look in found.looks] == [0.8]
    assert (results.outcome, results.winner) == ("ship", "b")


def test_the_winner_of_the_results_becomes_champion(store: Store) -> None:
    two = started(store, target_samples=40)
    store.champion.move(1, "first again", "a person")
    store.experiments.record(replies(two, "a", 40, rating=3, each=7) + replies(two, "b", 40, rating=4, each=7))
    store.experiments.look()
    done = store.experiments.conclude(two.id, "b", None, "a person")
    assert (done.experiment.status, done.experiment.winner, done.message) == ("completed", "b", "v2 is champion")
    assert store.champion.get().n == 2
    assert done.experiment.results is not None
    assert [variant.samples for variant in done.experiment.results.variants] == [40, 40]


@pytest.mark.parametrize("model", ["agent", "teacher"])
def test_an_arm_that_is_no_version_wins_and_the_champion_stays(store: Store, model: str) -> None:
    two_versions(store)
    arms = [{"name": "a", "model": "v1", "weight": 0.5}, {"name": "b", "model": model, "weight": 0.5}]
    experiment = store.experiments.add(design(arms=arms))
    done = store.experiments.conclude(experiment.id, "b", "she asked for it", "a person")

    assert (done.experiment.winner, store.champion.get().n) == ("b", 2)
    assert "v2 stays champion" in done.message
    assert model in done.message


def test_a_winner_the_results_do_not_name_needs_a_reason(store: Store) -> None:
    experiment = started(store)
    assert "v2 stays champion" in store.experiments.conclude(experiment.id, "a", None, "a person").message
    assert store.champion.get().n == 2


def test_a_reason_overrides_the_results(store: Store) -> None:
    experiment = started(store)
    with pytest.raises(NotAllowed, match="variant of this experiment"):
        store.experiments.conclude(experiment.id, "z", "why not", "a person")
    assert store.experiments.conclude(experiment.id, "a", "shorter", "a person").message == "v1 is champion"
    assert store.champion.get().n == 1
    with pytest.raises(NotAllowed, match="completed"):
        store.experiments.conclude(experiment.id, "b", "no, b", "a person")
    with pytest.raises(NotAllowed, match="completed"):
        store.experiments.stop(experiment.id, "late", "a person")


def test_a_version_that_passes_meanwhile_waits_at_staging_and_is_promoted_at_the_end(store: Store) -> None:
    experiment = started(store)
    conclude(store, claimed(store, "three"))
    assert store.champion.get().n == 2
    assert event_types(store)[-1] == "staged"
    registry = FakeRegistry()
    registry.versions.update({1: "1", 2: "2", 3: "3"})
    reconcile(store, registry)
    assert registry.aliases["staging"] == 3
    assert 3 in store.experiments.pinned()
    store.experiments.stop(experiment.id, "enough", "a person")
    assert store.champion.get().n == 3
    assert event_types(store)[-1] == "promoted"
    reconcile(store, registry)
    assert "staging" not in registry.aliases


def test_what_a_person_promoted_meanwhile_waits_no_more(store: Store) -> None:
    experiment = started(store)
    conclude(store, claimed(store, "three"))
    store.champion.move(3, "it is urgent", "a person")
    store.experiments.stop(experiment.id, "enough", "a person")
    assert (store.champion.get().n, store.experiments.staged()) == (3, None)
    assert event_types(store)[-1] == "experiment_stopped"


def test_what_a_person_promoted_and_rolled_back_is_not_promoted_again_at_the_end(store: Store) -> None:
    experiment = started(store)
    conclude(store, claimed(store, "three"))
    store.champion.move(3, "it is urgent", "a person")
    assert store.experiments.staged() is None
    store.champion.move(2, "it was no good", "a person")
    store.experiments.stop(experiment.id, "enough", "a person")
    assert store.champion.get().n == 2


def test_what_waits_at_staging_waits_no_more_once_it_answers(store: Store) -> None:
    experiment = started(store)
    conclude(store, claimed(store, "three"))
    store.experiments.conclude(experiment.id, "a", "shorter", "a person")
    assert store.experiments.staged() == 3
    store.champion.move(3, "it is better still", "a person")
    assert (store.experiments.staged(), 3 in store.experiments.pinned()) == (None, False)


def test_over_another_base_nothing_is_started_and_nobody_crowned(store: Store, store_url: str) -> None:
    experiment = started(store)
    draft = store.experiments.add(design(name="later"), start=False)
    other = Store(store_url, live_defaults=LiveSettings(), lineage="another base")
    try:
        with pytest.raises(NotAllowed, match="base that is served, found trial over another"):
            other.experiments.conclude(experiment.id, "a", "shorter", "a person")
        with pytest.raises(NotAllowed, match="base that is served, found later over another"):
            other.experiments.change(draft.id, start=True)
        assert other.champion.get().n is None
        assert other.experiments.stop(experiment.id, "enough", "a person").status == "stopped"
    finally:
        other.close()
    assert store.experiments.conclude(experiment.id, "a", "shorter", "a person").message == "v1 is champion"


def test_a_conclusion_keeps_the_results_it_was_drawn_from(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = started(store)
    counted = []
    monkeypatch.setattr(experiment_endings, "results", lambda *given: counted.append(1) or results(*given))
    done = store.experiments.conclude(experiment.id, "b", None, "a person")
    assert (len(counted), done.experiment.results is not None) == (1, True)


def test_what_waits_stays_at_staging_when_another_champion_answers_by_then(store: Store) -> None:
    experiment = started(store)
    conclude(store, claimed(store, "three"))
    store.experiments.conclude(experiment.id, "a", "shorter", "a person")
    assert store.champion.get().n == 1
    assert "compared with v2, and v1 answers now" in store.events.page(type="staged")[0].message
    assert store.experiments.staged() == 3


def test_arms_are_pinned_as_long_as_it_is_open(store: Store) -> None:
    experiment = started(store)
    assert store.experiments.pinned() == {1, 2}
    store.experiments.stop(experiment.id, "enough", "a person")
    assert store.experiments.pinned() == set()


def test_an_erased_user_leaves_no_trace_in_it(store: Store) -> None:
    experiment = started(store)
    mine, other = replies(experiment, "a", 2, rating=4)
    store.experiments.record([mine, other])
    store.conversations.erase_user(mine.user_id or "")
    assert [log.served.unit for log in store.experiments.logs(experiment.id).items] == [other.unit]
    assert store.experiments.figures(experiment.id)[1][0].exposed == 1


def test_results_of_an_ended_one_are_those_of_its_end(store: Store) -> None:
    experiment = started(store)
    store.experiments.record(replies(experiment, "a", 3, rating=4))
    store.experiments.stop(experiment.id, "enough", "a person")
    store.experiments.record(replies(experiment, "a", 9, rating=4))
    assert store.experiments.results(experiment.id)[1].variants[0].samples == 3


def test_replies_of_an_experiment_that_is_none_are_left_out(store: Store) -> None:
    experiment = started(store)
    served = replies(experiment, "a", 1)[0]
    store.experiments.record([replace(served, experiment=99), served])
    assert store.experiments.logs(experiment.id).total == 1
    with pytest.raises(NotFound, match="experiment 99"):
        store.experiments.logs(99)


def test_pages_can_be_searched(store: Store) -> None:
    started(store, name="Tone-1")
    store.experiments.add(design(name="length"), start=False)
    assert [found.design.name for found in store.experiments.page().items] == ["length", "Tone-1"]
    assert [found.design.name for found in store.experiments.page(search="tone").items] == ["Tone-1"]
    assert store.experiments.page(status="draft").total == 1
