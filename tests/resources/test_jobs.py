"""Jobs over the store, on both databases: one truth with the versions, whatever meets whatever."""

import pytest

from core.wish import Wish, wish_in
from resources.progress import Progress
from resources.store import Fenced, NotAllowed, NotFound, Store
from resources.tables import conversations, texts
from resources.waiting_triggers import cancel_waiting
from tests.resources.examples import SHA, claimed, conclude, event_types, fill, verdict, version_of
from tests.resources.test_version_wishes import at_once

NAMED = Wish(job_name="korean-support", recipe={"rank": 8, "epochs": 3, "learning_rate": 2e-4})


def upload(store: Store, state: str = "completed", **fields: object) -> int:
    values = {"name": "faq", "version": "1", "format": "auto", "extension": "jsonl", "kind": "training", "tags": [],
              "file_name": "faq.jsonl", "size_bytes": 1, "sha256": SHA, "mapping": {}, "dataset_metadata": {},
              "stats": {}}  # fmt: skip
    made = store.uploads.add({**values, **fields}, lambda id: None)
    store.uploads.change(made.id, {"ingested": {"state": state} if state else {}})
    return made.id


def test_a_job_is_pending_under_the_number_of_the_version_it_becomes(store: Store) -> None:
    fill(store, "a", "b")
    job = store.jobs.ask(NAMED)
    assert (job.n, job.status, job.wish) == (1, "pending", NAMED)
    assert store.jobs.get(1) == job
    claim = store.versions.claim("run-1")
    assert claim is not None
    begun = store.jobs.get(1)
    assert (begun.n, begun.status, begun.wish) == (1, "running", NAMED)
    assert begun.version is not None
    assert wish_in(begun.version.settings) == NAMED
    assert (begun.version.settings["finetune_epochs"], begun.version.counts["triggers"]) == (3, 1)
    assert store.settings.get().finetune_epochs != 3, "the wish is of this version alone"
    conclude(store, claim)
    assert store.jobs.get(1).status == "completed"


def test_a_waiting_job_stands_behind_the_version_in_flight(store: Store) -> None:
    first = claimed(store, "a")
    fill(store, "b")
    job = store.jobs.ask(Wish(job_name="next"))
    assert (job.n, job.behind, [found.n for found in store.jobs.page().items]) == (2, 1, [2, 1])
    conclude(store, first)
    claim = store.versions.claim("run-2")
    assert claim is not None
    assert claim.n == 2
    assert version_of(store, "b") == 2


def test_of_two_jobs_that_wait_the_second_is_refused_and_a_key_asks_once(store: Store) -> None:
    fill(store, "a")
    first = store.jobs.ask(NAMED, "k")
    assert store.jobs.ask(Wish(), "k") == first
    with pytest.raises(NotAllowed, match="found job 1 waiting already"):
        store.jobs.ask(Wish())
    store.versions.claim("run-1")
    assert store.jobs.ask(Wish(), "k").status == "running", "whatever became of it"


def test_jobs_asked_for_at_the_same_moment_are_one(store: Store) -> None:
    fill(store, "a")
    raised = at_once(*[lambda: store.jobs.ask(Wish())] * 4)
    assert sorted(type(error).__name__ for error in raised) == ["NoneType"] + ["NotAllowed"] * 3
    assert store.jobs.page().total == 1


def test_with_nothing_to_train_on_or_training_switched_off_no_job_waits(store: Store) -> None:
    with pytest.raises(NotAllowed, match="everything eligible that wait, found none"):
        store.jobs.ask(Wish())
    fill(store, "a")
    store.settings.change({"finetune_enabled": False}, "test")
    with pytest.raises(NotAllowed, match="finetune_enabled=true"):
        store.jobs.ask(Wish())
    assert store.triggers.next() is None


def test_who_asks_for_a_job_ends_a_pause(store: Store) -> None:
    fill(store, "a")
    store.pause.set("two were rejected")
    store.jobs.ask(Wish())
    assert store.pause.get() is None


def test_a_job_of_a_dataset_takes_its_conversations_alone(store: Store) -> None:
    id = upload(store)
    fill(store, "a", "b")
    with pytest.raises(NotAllowed, match=f"dataset {id} that wait, found none"):
        store.jobs.ask(Wish(dataset_id=id))
    fill(store, "c", "d", source=f"dataset-{id}")
    store.triggers.add("api", True, {})
    store.jobs.ask(Wish(dataset_id=id))
    claim = store.versions.claim("run-1")
    assert claim is not None
    assert {name: version_of(store, name) for name in "abcd"} == {"a": None, "b": None, "c": 1, "d": 1}
    assert store.triggers.next() is not None, "who asked for everything waits on"
    conclude(store, claim)
    assert store.versions.claim("run-2") is not None
    assert version_of(store, "a") == 2


def test_a_dataset_that_is_gone_before_the_job_begins_ends_it_and_takes_nothing_else(store: Store) -> None:
    id = upload(store)
    fill(store, "a")
    fill(store, "c", source=f"dataset-{id}")
    store.jobs.ask(Wish(dataset_id=id))
    store.database.write(lambda c: c.execute(texts.delete().where(texts.c.reply.is_not(None))))
    store.database.write(lambda c: c.execute(conversations.delete().where(conversations.c.id == "c")))
    assert store.versions.claim("run-1") is None
    job = store.jobs.get(1)
    assert (job.status, store.conversations.waiting()) == ("cancelled", 1)
    assert job.version is not None
    assert "waits any more" in str(job.version.error)
    assert store.triggers.next() is None


@pytest.mark.parametrize(
    ("state", "fields", "says"),
    [
        ("", {}, "not taken in yet"),
        ("running", {}, "being taken in"),
        ("completed", {"kind": "golden"}, "kind golden"),
    ],
)
def test_a_dataset_that_cannot_be_trained_on_says_why(store: Store, state: str, fields: dict, says: str) -> None:
    id = upload(store, state, **fields)
    fill(store, "c", source=f"dataset-{id}")
    with pytest.raises(NotAllowed, match=says):
        store.jobs.ask(Wish(dataset_id=id))
    with pytest.raises(NotFound):
        store.jobs.ask(Wish(dataset_id=99))


def test_stopped_resumed_and_over_each_has_its_word(store: Store) -> None:
    claim = claimed(store, "a")
    assert store.jobs.stop(1).status == "stopped"
    assert store.jobs.stop(1).status == "stopped"
    store.versions.release(claim)
    assert store.jobs.get(1).status == "stopped"
    assert store.jobs.resume(1).status == "pending"
    assert store.versions.claim("run-2") is not None
    assert store.jobs.resume(1).status == "running"
    assert event_types(store).count("resume_asked") == 1, "a running one is left alone"
    store.versions.abandon(1, "not wanted")
    for ask in (store.jobs.stop, store.jobs.resume):
        with pytest.raises(NotAllowed, match="abandoned: its conversations wait again"):
            ask(1)


def test_a_trained_job_is_completed_and_can_still_be_stopped_before_its_verdict(store: Store) -> None:
    claim = claimed(store, "a")
    store.versions.mark_trained(claim, SHA, {})
    assert store.jobs.get(1).status == "completed"
    assert store.jobs.stop(1).status == "stopped"
    assert store.jobs.resume(1).status == "completed"


def test_a_cancelled_job_gives_its_conversations_back_and_can_be_cancelled_again(store: Store) -> None:
    claim = claimed(store, "a", "b")
    assert store.jobs.cancel(1, "wrong data").status == "cancelled"
    assert store.conversations.waiting() == 2
    with pytest.raises(Fenced):
        store.versions.mark_trained(claim, SHA, {})
    assert store.jobs.cancel(1, "again").status == "cancelled"
    assert event_types(store).count("abandoned") == 1
    assert store.versions.get(1).error == "wrong data"


def test_a_job_cancelled_before_it_began_keeps_its_number(store: Store) -> None:
    fill(store, "a")
    store.jobs.ask(NAMED)
    for ask in (store.jobs.stop, store.jobs.resume):
        with pytest.raises(NotAllowed, match="found it pending"):
            ask(1)
    cancelled = store.jobs.cancel(1, "not needed")
    assert (cancelled.status, cancelled.wish, store.conversations.waiting()) == ("cancelled", NAMED, 1)
    assert store.triggers.next() is None
    again = store.jobs.ask(Wish())
    assert (again.n, store.jobs.get(1).status) == (2, "cancelled")
    claim = store.versions.claim("run-1")
    assert claim is not None
    assert (claim.n, version_of(store, "a")) == (2, 2)


def test_a_run_on_its_way_begins_nothing_once_its_job_is_cancelled(store: Store) -> None:
    fill(store, "a")
    store.jobs.ask(Wish())
    trigger = store.triggers.next()
    assert trigger is not None
    store.jobs.cancel(1, "not needed")
    assert store.versions.claim("run-1", trigger=trigger.id) is None
    assert version_of(store, "a") is None
    assert store.versions.claim("run-2") is not None, "who presses Materialize asks anew"


def test_a_cancellation_that_meets_the_claim_ends_as_one_of_the_two_wants(store: Store) -> None:
    for n in range(1, 7):
        fill(store, f"a{n}")
        store.jobs.ask(Wish())
        trigger = store.triggers.next()
        assert trigger is not None
        at_once(
            lambda n=n, id=trigger.id: store.versions.claim(f"run-{n}", trigger=id),
            lambda n=n: store.jobs.cancel(n, "not wanted"),
        )
        job = store.jobs.get(n)
        assert (job.status, store.versions.unfinished(), store.triggers.next()) == ("cancelled", None, None)
        assert store.conversations.waiting() == n, "each waits again, whoever was first"


def test_a_cancellation_that_meets_the_end_is_refused_or_whole(store: Store) -> None:
    for n in range(1, 7):
        claim = claimed(store, f"a{n}", owner=f"run-{n}")
        store.versions.mark_trained(claim, SHA, {})
        store.versions.set_verdict(claim, verdict(), "reports/x/report.md")
        _, cancelled = at_once(
            lambda claim=claim: store.versions.conclude(claim, None), lambda n=n: store.jobs.cancel(n, "no")
        )
        status = store.jobs.get(n).status
        assert status == ("cancelled" if cancelled is None else "completed")
        assert (store.champion.get().n == n) == (status == "completed")


def test_erasing_what_a_waiting_job_was_for_ends_it_findably(store: Store) -> None:
    fill(store, "a")
    store.jobs.ask(NAMED)
    store.database.write(cancel_waiting)
    job = store.jobs.get(1)
    assert (job.status, job.wish) == ("cancelled", NAMED)
    assert event_types(store)[-1] == "triggers_cancelled"


def test_a_page_is_newest_first_and_narrowed_by_status_and_name(store: Store) -> None:
    conclude(store, claimed(store, "a"))
    store.jobs.cancel(claimed(store, "b", owner="two").n, "no")
    fill(store, "c")
    store.jobs.ask(NAMED)
    conclude(store, store.versions.claim("three") or pytest.fail("nothing claimed"), promoted=False)
    claim = claimed(store, "d", owner="four")
    store.progress.write(claim, Progress(3, 12, 2.5, 1e-3, 900.0, 30.0, "training"))
    fill(store, "e")
    store.jobs.ask(Wish(job_name="Café_100%"))

    def found(status: str | None = None, search: str | None = None, page: int = 1, size: int = 50) -> list[int]:
        return [job.n for job in store.jobs.page(page, size, status=status, search=search).items]  # type: ignore[arg-type]

    assert found() == [5, 4, 3, 2, 1]
    assert [found(page=page, size=2) for page in (1, 2, 3, 4)] == [[5, 4], [3, 2], [1], []]
    assert {store.jobs.page(page, 2).total for page in (1, 3)} == {5}
    by_status = {"pending": [5], "running": [4], "completed": [3, 1], "cancelled": [2], "failed": [], "stopped": []}
    assert {status: found(status) for status in by_status} == by_status
    assert (found(search="KOREAN"), found(search="v1"), found(search="100%"), found(search="_")) == ([3], [1], [5], [5])
    assert store.jobs.get(4).progress is not None
    store.jobs.stop(4)
    assert (found("stopped"), found("running")) == ([4], [])
    with pytest.raises(NotFound):
        store.jobs.get(6)
