from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from bench.open_load import Reply
from bench.swap import Seen, figures, mixed

WORDS = (" none", " apple", " river")


class Versions:
    """As SwapVersions, with an empty store and two words."""

    words = WORDS
    store = SimpleNamespace(conversations=SimpleNamespace(get=lambda _: None))

    def said_by(self, model: str) -> str:
        return WORDS[int(model[1:])]

    def load_seconds(self) -> list[float]:
        return [0.2, 0.4]


def versions() -> Any:
    return Versions()


def reply(model: str, text: str, said_by: str | None = None, **more: Any) -> Reply:
    return Reply("production", 0.0, model, text=text, said_by={said_by or model}, first=0.1, done=0.2, **more)


@pytest.mark.parametrize(
    ("model", "text", "said_by", "is_mixed"),
    [
        ("v1", " apple apple", None, False),
        ("v1", "", None, False),
        ("v1", " apple river", None, True),
        ("v1", " river river", None, True),
        ("v1", " apple apple!", None, True),
        ("v1", " apple", "v2", True),
        ("base", "An apple from the river.", None, False),
        ("base", "An apple apple apple", None, True),
    ],
)
def test_a_reply_is_mixed_when_any_of_it_was_not_written_by_whom_it_names(
    model: str, text: str, said_by: str | None, is_mixed: bool
) -> None:
    assert mixed(reply(model, text, said_by), versions()) is is_mixed


def holds(seen: Seen) -> dict[str, bool]:
    return {figure.name: figure.holds for figure in figures(seen, versions())}


def calm(replies: Sequence[Reply]) -> Seen:
    seen = Seen(calm=list(replies), swapping=list(replies), calm_probes=[reply("v1", " apple")], rate=1.0)
    seen.resident, seen.new = [0.1], [0.5]
    return seen


def test_a_run_without_fault_keeps_every_target() -> None:
    assert all(holds(calm([reply("v1", " apple apple")])).values())


@pytest.mark.parametrize(
    ("bad", "name"),
    [
        (reply("v1", " apple", failure="503: busy"), "failed"),
        (reply("v1", ""), "failed"),
        (reply("v1", " river"), "mixed, by what they say"),
        (reply("v1", " apple", collected=True), "acknowledged and not in the store"),
    ],
)
def test_one_bad_reply_is_enough_to_miss_a_target(bad: Reply, name: str) -> None:
    assert [figure for figure, held in holds(calm([reply("v1", " apple"), bad])).items() if not held] == [name]


def test_a_swap_that_is_slower_than_half_more_misses_its_target() -> None:
    seen = calm([reply("v1", " apple")])
    seen.resident = [0.1] * 98 + [0.2] * 2
    assert not holds(seen)["resident version: row to first word, p99"]
