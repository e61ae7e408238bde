import pytest

from core.live_settings import LiveSettings
from core.scheduling import LoopState, Request, Skip, UnfinishedVersion, WaitingTrigger, decide

V3 = UnfinishedVersion(n=3, lease="dead")
ASKED = WaitingTrigger(id=7, force=False)
FORCED = WaitingTrigger(id=8, force=True)


def state(**fields: object) -> LoopState:
    return LoopState(**{"settings": LiveSettings(), "waiting": 60, "next_number": 4, **fields})  # type: ignore[arg-type]


def settings(**fields: object) -> LiveSettings:
    return LiveSettings(**fields)  # type: ignore[arg-type]


# what the sensor sees | what it starts: version, whether it goes on with an old one, part of the reason
REQUESTS = [
    ({}, (4, False, "60 of 50 eligible conversations")),
    ({"waiting": 50}, (4, False, "50 of 50")),
    ({"waiting": 3, "trigger": FORCED}, (4, False, "trigger 8, by force: 3 eligible conversations waiting")),
    ({"trigger": ASKED}, (4, False, "trigger 7, by request")),
    ({"trigger": ASKED, "ingesting": 3}, (4, False, "trigger 7, by request")),
    ({"trigger": ASKED, "paused": "two rejections in a row"}, (4, False, "trigger 7")),
    ({"trigger": ASKED, "settings": settings(finetune_auto_trigger=False)}, (4, False, "trigger 7")),
    (
        {"trigger": ASKED, "settings": settings(finetune_min_interval_seconds=600), "seconds_since_finished": 5.0},
        (4, False, "trigger 7"),
    ),
    ({"trigger": ASKED, "cancelled_by_person": True}, (4, False, "trigger 7")),
    ({"settings": settings(finetune_min_interval_seconds=600), "seconds_since_finished": 600.0}, (4, False, "60 of")),
    ({"settings": settings(finetune_min_interval_seconds=600)}, (4, False, "60 of")),
    ({"unfinished": V3, "waiting": 0}, (3, True, "v3 goes on")),
    ({"unfinished": V3.model_copy(update={"lease": "released"})}, (3, True, "v3 goes on")),
    ({"unfinished": V3, "paused": "two rejections in a row"}, (3, True, "v3 goes on")),
    ({"unfinished": V3, "settings": settings(finetune_auto_trigger=False)}, (3, True, "v3 goes on")),
    ({"unfinished": V3, "trigger": FORCED}, (3, True, "v3 goes on")),
]

# what the sensor sees | why it starts nothing
SKIPS = [
    ({"waiting": 12}, "12 of 50 eligible conversations"),
    ({"waiting": 0}, "no eligible conversation waits"),
    ({"waiting": 0, "trigger": FORCED}, "no eligible conversation waits"),
    ({"waiting": 12, "trigger": ASKED}, "12 of 50 eligible conversations"),
    ({"settings": settings(finetune_enabled=False)}, "switched off (finetune_enabled); 60 eligible"),
    ({"settings": settings(finetune_enabled=False), "trigger": FORCED}, "switched off (finetune_enabled)"),
    ({"settings": settings(finetune_enabled=False), "unfinished": V3}, "switched off (finetune_enabled)"),
    ({"settings": settings(finetune_auto_trigger=False)}, "switched off (finetune_auto_trigger)"),
    ({"run_in_flight": "0123456789ab", "waiting": 1}, "run 01234567 is in flight; 1 eligible conversation waiting"),
    ({"run_in_flight": "0123456789ab", "trigger": FORCED}, "run 01234567 is in flight"),
    ({"unfinished": V3.model_copy(update={"lease": "alive", "owner": "run-9"})}, "v3 is being trained by run-9"),
    ({"unfinished": V3.model_copy(update={"lease": "alive"}), "trigger": FORCED}, "v3 is being trained by another run"),
    ({"unfinished": V3.model_copy(update={"desired": "stop", "step": 40})}, "stopped by a person at step 40"),
    ({"unfinished": V3, "cancelled_by_person": True}, "the run of v3 was cancelled by a person"),
    ({"cancelled_by_person": True}, "cancelled by a person before it began"),
    ({"ingesting": 3}, "dataset 3 is being taken in, and is waited for; 60 eligible"),
    ({"paused": "two rejections in a row"}, "paused: two rejections in a row; 60 eligible"),
    (
        {"settings": settings(finetune_min_interval_seconds=600), "seconds_since_finished": 599.5},
        "finished less than 600 s ago: 1 s left",
    ),
    ({"unfinished": V3, "attempts": 5}, "v3 used all its 5 attempts"),
    ({"attempts": 5}, "v4 used all its 5 attempts"),
    ({"unfinished": V3, "attempts": 2, "backoff_seconds_left": 3.2}, "v3 is tried again in 4 s"),
]


@pytest.mark.parametrize(("seen", "expected"), REQUESTS)
def test_a_run_is_started(seen: dict[str, object], expected: tuple[int, bool, str]) -> None:
    decision = decide(state(**seen))
    assert isinstance(decision, Request), decision.reason
    assert (decision.version, decision.resume) == expected[:2]
    assert expected[2] in decision.reason


@pytest.mark.parametrize(("seen", "reason"), SKIPS)
def test_no_run_is_started_and_the_reason_is_said(seen: dict[str, object], reason: str) -> None:
    decision = decide(state(**seen))
    assert isinstance(decision, Skip), decision
    assert reason in decision.reason


def test_each_attempt_has_one_run_key() -> None:
    first, again = decide(state(attempts=0)), decide(state(attempts=1))
    assert isinstance(first, Request)
    assert isinstance(again, Request)
    assert (first.run_key, again.run_key) == ("v4.a0", "v4.a1")


def test_a_changed_threshold_counts_at_once() -> None:
    assert isinstance(decide(state(waiting=25)), Skip)
    assert isinstance(decide(state(waiting=25, settings=settings(finetune_batch_size=25))), Request)
