import re
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest

from resources import report_page
from resources.check_shapes import UNITS, shape_of, title_of
from resources.forest_plot import sentence
from resources.report_page import html
from tests.resources.report_examples import ATTACK, SHOWN, full_story, overruled_story
from tests.resources.test_report import evaluation, story

# what a browser would run or fetch
DANGEROUS = {"script", "iframe", "object", "embed", "base", "form", "img", "image", "use", "a:http"}


class Read(HTMLParser):
    """Elements with their attributes, and the text a person reads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def page() -> str:
    return html(full_story())


@pytest.mark.parametrize("made", [full_story(), full_story(champion=None), overruled_story(), story()])
def test_nothing_in_it_runs_or_is_fetched_whatever_was_written(made: object) -> None:
    found = Read(html(made))  # type: ignore[arg-type]
    assert not {tag for tag, _ in found.elements} & DANGEROUS
    for _, attributes in found.elements:
        assert not [name for name in attributes if name.startswith("on") or name in {"style", "src"}]
        assert (attributes.get("href") or "#").startswith(("#", "data:,", "evaluations/"))


def test_what_people_wrote_is_read_as_they_wrote_it(page: str) -> None:
    assert Read(page).text.count(ATTACK) >= 3
    assert "급합니다 <script>" in Read(html(overruled_story())).text


def test_its_policy_admits_its_own_style_alone(page: str) -> None:
    import base64
    import hashlib

    [style] = re.findall(r"<style>(.*?)</style>", page, re.S)
    known = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    [policy] = [
        a["content"] or "" for tag, a in Read(page).elements if a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert f"style-src 'sha256-{known}'" in policy
    assert policy.startswith("default-src 'none';")


def test_every_check_shows_its_figures_and_its_sentence(page: str) -> None:
    text = Read(page).text
    for check in full_story().verdict.checks:
        assert title_of(check) in text
        assert sentence(check.sentence) in text
        shape = shape_of(check, full_story().verdict.thresholds)
        if shape is not None:
            assert f"{shape.unit.says(shape.lower)} … {shape.unit.says(shape.upper)}" in text


def test_each_check_with_an_interval_is_drawn_once(page: str) -> None:
    thresholds = full_story().verdict.thresholds
    shapes = [found for check in full_story().verdict.checks if (found := shape_of(check, thresholds))]
    assert len(shapes) >= 12
    assert {shape.unit.title for shape in shapes} <= {unit.title for unit in UNITS}
    plotted = [tag for tag, attributes in Read(page).elements if attributes.get("class") == "plotted"]
    assert len(plotted) == len(shapes)


def test_a_failed_check_says_so_beside_its_name() -> None:
    rejected = html(full_story(gain=-0.5))
    assert "✗" in rejected
    assert "rejected" in Read(rejected).text
    assert "✗" not in html(full_story(gain=0.5, champion=None))


def test_an_interval_that_passes_stays_out_of_the_shaded_side() -> None:
    """Better lies on the right on every axis, so that one rule reads them all."""
    for gain, passes in ((0.5, True), (-0.5, False)):
        found = full_story(gain)
        [check] = [check for check in found.verdict.checks if check.name == "general_non_inferiority"]
        shape = shape_of(check, found.verdict.thresholds)
        assert shape is not None
        assert shape.limit == found.verdict.thresholds.general_margin
        [better] = [check for check in found.verdict.checks if check.name == "held_out_loss_vs_champion"]
        drawn = shape_of(better, found.verdict.thresholds)
        assert drawn is not None
        assert drawn.limit == -found.verdict.thresholds.superiority_margin, "p is held against alpha, the interval not"
        assert (drawn.upper < drawn.limit) is passes is better.passed


def test_answers_stand_side_by_side_in_both_languages(page: str) -> None:
    text = Read(page).text
    for one in SHOWN[:1]:
        assert one.question in text
        assert one.candidate in text
        assert one.champion is not None
        assert one.champion in text
        assert one.base not in text, "what serves now is the champion"
    assert f"{ATTACK} 답…" in text, "cut within a character"
    assert 'lang="ko"' in page


def test_only_what_differs_since_the_champion_is_listed(page: str) -> None:
    text = Read(page).text
    assert re.search(r"Recipe v3 v4 epochs 3 2 4 settings are the same", text), text
    assert "train 30 40" in text
    assert "of provenance teacher 30 0" in text


def test_against_the_base_the_whole_recipe_is_told() -> None:
    text = Read(html(full_story(champion=None))).text
    assert "learning rate 0.001" in text
    assert "no recipe and no data of ours" in text


def test_a_recipe_that_was_not_kept_is_said_to_be_unknown() -> None:
    found = full_story()
    assert found.before is not None
    text = Read(html(replace(found, before=replace(found.before, recipe={})))).text
    assert "The recipe of v3 was not kept." in text


def test_reasons_are_told_in_words_most_frequent_first(page: str) -> None:
    text = Read(page).text
    assert text.index("The same question with the same reply is there already 7") < text.index("it is not cut 3")


def test_who_overruled_the_gate_is_told_with_the_reason() -> None:
    text = Read(html(overruled_story())).text
    assert "rejected by the gate, promoted by a person" in text
    assert "A person overruled the gate: 급합니다" in text


def test_a_version_without_any_measurement_has_a_page_all_the_same() -> None:
    found = full_story()
    nothing = evaluation().model_copy(
        update={"held_out": (), "general": (), "shown": (), "answers": (), "overlaps": ()}
    )
    text = Read(html(replace(found, evaluation=nothing, curve=(), verdict=found.verdict.model_copy(
        update={"promoted": False, "checks": (), "reasons": ("not enough evidence: nothing was left",)}
    )))).text  # fmt: skip
    assert "Not enough evidence: nothing was left." in text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_losses_that_are_no_numbers_do_not_break_the_drawings(value: float) -> None:
    found = full_story()
    pairs = tuple(pair.model_copy(update={"candidate": value}) for pair in found.evaluation.held_out)
    bad = found.evaluation.model_copy(update={"held_out": pairs})
    page = html(replace(found, evaluation=bad))
    drawn = re.findall(r'(?:x|y|x1|x2|y1|y2|cx|cy|width|height|points)="([^"]*)"', page)
    assert drawn
    assert not [place for place in drawn if "nan" in place or "inf" in place]


def test_the_loss_on_the_validation_side_is_drawn_where_it_was_measured() -> None:
    found = full_story()
    assert "validation" not in Read(html(found)).text
    measured = [SimpleNamespace(step=one.step, loss=one.loss, validation_loss=3.25) for one in found.curve[::10]]
    page = html(replace(found, curve=[*found.curve, *measured]))  # type: ignore[list-item]
    assert "validation" in Read(page).text
    assert ">3.25</text>" in page


def test_a_long_name_without_a_space_cannot_widen_the_page() -> None:
    assert "overflow-wrap: anywhere" in report_page.html(full_story())
