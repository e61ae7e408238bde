from dataclasses import replace

from core.gate import GateThresholds
from resources.comparison_page import html
from tests.resources.report_examples import ATTACK, full_story
from tests.resources.test_report_page import DANGEROUS, Read

LIMITS = GateThresholds()


def theirs() -> object:
    story = full_story(gain=0.2, champion=None)
    found = story.evaluation.model_copy(update={"version": 3})
    return replace(story, evaluation=found, made=story.made and replace(story.made, n=3), override=ATTACK)


def test_two_versions_stand_beside_each_other_with_their_intervals() -> None:
    page = Read(html(full_story(), theirs(), LIMITS))  # type: ignore[arg-type]
    assert "v4 beside v3" in page.text
    assert "The loss of v4 is 0.300 nats a token lower than that of v3 on 30 held-out conversations" in page.text
    assert "v3, running mean" in page.text
    assert sum(attributes.get("class") == "plotted" for _, attributes in page.elements) >= 7


def test_nothing_in_it_runs_or_is_fetched() -> None:
    page = Read(html(full_story(), theirs(), LIMITS))  # type: ignore[arg-type]
    assert not {tag for tag, _ in page.elements} & DANGEROUS
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


def test_versions_with_nothing_in_common_say_so() -> None:
    mine = full_story()
    nothing = mine.evaluation.model_copy(
        update={"held_out": (), "general": (), "answers": (), "overlaps": (), "shown": ()}
    )
    page = Read(html(replace(mine, evaluation=nothing), theirs(), LIMITS))  # type: ignore[arg-type]
    assert "Nothing was measured of both." in page.text
