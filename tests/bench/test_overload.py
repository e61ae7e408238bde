"""The figures of the overload bench: goodput against the peak of the same run, refusals in time, nothing kept."""

from dataclasses import replace

from bench.http_load import Seen
from bench.overload import CHATS, HANG_UPS, Measured, figures

GOOD = Measured(
    peak=[Seen(seconds=[1.0] * 100, began=0, ended=10)],
    over=[Seen(seconds=[2.0] * 95, refused=[0.004] * 100, began=0, ended=10)],
    grown={"Ingress": 2**20, "Engine": 0},
    freed=[0.1, 0.4],
    hung_up=HANG_UPS,
    answered_after=CHATS,
)


def short(found: Measured) -> set[str]:
    return {figure.name for figure in figures(found) if not figure.holds}


def test_a_stack_that_keeps_its_peak_holds() -> None:
    assert short(GOOD) == set()


def test_each_promise_falls_short_by_itself() -> None:
    slow = Seen(seconds=[2.0] * 95, refused=[0.2] * 100, began=0, ended=10)
    none = Seen(seconds=[2.0] * 95, began=0, ended=10)
    poor = Seen(seconds=[2.0] * 80, refused=[0.004], failures=["broken"], began=0, ended=10)

    assert short(replace(GOOD, over=[slow])) == {"refusals with Retry-After, p99"}
    assert short(replace(GOOD, over=[none])) == {"refusals with Retry-After, p99"}, "a bar that was not measured"
    assert short(replace(GOOD, over=[poor])) == {
        "replies a second at twice saturation",
        "neither answered nor refused",
    }
    assert short(replace(GOOD, grown={"Ingress": 2**30})) == {"memory of the ingress grew"}
    assert short(replace(GOOD, freed=[0.1, 1.5])) == {"slowest to give all places back"}
    assert short(replace(GOOD, left=1.0)) == {"places taken after them"}
    assert short(replace(GOOD, answered_after=CHATS - 1)) == {"chats unanswered after them"}
