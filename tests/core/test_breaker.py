"""The breaker against a reference model of twenty lines, driven by Hypothesis."""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from core.breaker import Breaker, BreakerLimits

LIMITS = BreakerLimits(failures=5, open_seconds=60.0, probes=3, probe_seconds=10.0, successes=3)


@dataclass
class Reference:
    """The same rules, written down as plainly as they are said."""

    state: str = "CLOSED"
    since: float = 0.0
    bad: int = 0
    good: int = 0
    life: int = 0
    flying: dict[int, float] = field(default_factory=dict)

    def go(self, state: str, now: float) -> None:
        self.state, self.since, self.bad, self.good, self.flying = state, now, 0, 0, {}
        self.life += 1

    def look(self, now: float) -> None:
        if self.state == "HALF_OPEN" and any(end <= now for end in self.flying.values()):
            self.go("OPEN", now)
        if self.state == "OPEN" and now >= self.since + 60.0:
            self.go("HALF_OPEN", now)

    def ask(self, number: int, now: float) -> bool:
        self.look(now)
        if self.state == "OPEN" or (self.state == "HALF_OPEN" and len(self.flying) == 3):
            return False
        if self.state == "HALF_OPEN":
            self.flying[number] = now + 10.0
        return True

    def end(self, number: int, life: int, outcome: str, now: float) -> None:
        self.look(now)
        self.flying.pop(number, None)
        if life != self.life or outcome == "dropped":
            return
        self.bad = self.bad + 1 if outcome == "failed" else 0
        self.good += outcome == "succeeded"
        if self.bad == 5 or (self.bad and self.state == "HALF_OPEN"):
            self.go("OPEN", now)
        elif self.good == 3 and self.state == "HALF_OPEN":
            self.go("CLOSED", now)


class BreakerMachine(RuleBasedStateMachine):
    requests = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self.breaker, self.reference, self.now = Breaker(LIMITS), Reference(), 0.0

    @rule(seconds=st.sampled_from([0.0, 1.0, 9.5, 10.0, 30.0, 59.5, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def it_is_known_to_be_back(self) -> None:
        self.breaker.try_now(self.now)
        self.reference.look(self.now)
        if self.reference.state == "OPEN":
            self.reference.go("HALF_OPEN", self.now)

    @rule(target=requests)
    def ask(self) -> object:
        ticket = self.breaker.admit(self.now)
        number = ticket.number if ticket else -1
        assert (ticket is not None) == self.reference.ask(number, self.now)
        return ticket and (ticket, self.reference.life)

    @rule(request=requests, outcome=st.sampled_from(["succeeded", "failed", "failed", "dropped"]))
    def end(self, request: object, outcome: str) -> None:
        if request is None:
            return
        ticket, life = request  # type: ignore[misc]
        getattr(self.breaker, outcome)(ticket, self.now)
        self.reference.end(ticket.number, life, outcome, self.now)

    @rule()
    def fails_five_times(self) -> None:
        for _ in range(5):
            request = self.ask()
            self.end(request, "failed")

    @invariant()
    def agree(self) -> None:
        self.reference.look(self.now)
        assert self.breaker.state(self.now) == self.reference.state
        assert (self.breaker.retry_in(self.now) > 0) >= (self.reference.state == "OPEN")


TestBreaker = BreakerMachine.TestCase
TestBreaker.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_five_failures_in_a_row_open_it_and_three_successes_close_it() -> None:
    breaker = Breaker(LIMITS)
    for _ in range(4):
        breaker.failed(ticket_of(breaker, 0.0), 0.0)
    breaker.succeeded(ticket_of(breaker, 0.0), 0.0)
    for _ in range(5):
        assert breaker.state(1.0) == "CLOSED"
        breaker.failed(ticket_of(breaker, 1.0), 1.0)

    assert (breaker.state(60.9), breaker.admit(60.9), breaker.retry_in(31.0)) == ("OPEN", None, 30.0)
    assert breaker.state(61.0) == "HALF_OPEN"
    probes = [ticket_of(breaker, 61.0) for _ in range(3)]
    assert breaker.admit(61.0) is None
    for probe in probes:
        assert breaker.state(62.0) == "HALF_OPEN"
        breaker.succeeded(probe, 62.0)
    assert breaker.state(62.0) == "CLOSED"


def test_a_probe_that_hangs_has_failed_at_its_deadline() -> None:
    breaker = opened()
    ticket_of(breaker, 61.0)
    assert breaker.state(70.9) == "HALF_OPEN"
    assert breaker.state(71.0) == "OPEN"


def test_what_began_before_it_opened_says_nothing_of_the_probes() -> None:
    breaker = Breaker(LIMITS)
    old = ticket_of(breaker, 0.0)
    for _ in range(5):
        breaker.failed(ticket_of(breaker, 0.0), 0.0)
    assert breaker.state(60.0) == "HALF_OPEN"
    breaker.failed(old, 60.0)
    assert breaker.state(60.0) == "HALF_OPEN"


def test_requests_that_were_wrong_count_as_neither() -> None:
    breaker = Breaker(LIMITS)
    for _ in range(4):
        breaker.failed(ticket_of(breaker, 0.0), 0.0)
    breaker.dropped(ticket_of(breaker, 0.0), 0.0)
    breaker.failed(ticket_of(breaker, 0.0), 0.0)
    assert breaker.state(0.0) == "OPEN"


def opened() -> Breaker:
    breaker = Breaker(LIMITS)
    for _ in range(5):
        breaker.failed(ticket_of(breaker, 1.0), 1.0)
    assert breaker.state(61.0) == "HALF_OPEN"
    return breaker


def ticket_of(breaker: Breaker, now: float):  # type: ignore[no-untyped-def]
    ticket = breaker.admit(now)
    assert ticket is not None
    return ticket
