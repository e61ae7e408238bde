"""Any two versions side by side: what both were measured on, their answers, curves, recipes and data."""

from pathlib import Path

from core.side_by_side import checks_between, side_by_side
from core.verdict import GateThresholds, Verdict
from resources.answer_cards import answer_cards
from resources.forest_plot import sentence
from resources.line_chart import Curve, line_chart
from resources.page import Html, document, join, tag
from resources.report import Made, Story
from resources.report_differences import since_section
from resources.report_page import outcome
from resources.report_sections import change_section, gate_section, losses_of, smoothed
from resources.store import Store
from resources.store_errors import NotAllowed
from resources.stories import stored_story

_HOW = (
    "Both versions on what both were measured on, by the statistics of the gate. It decides nothing: a verdict is held "
    "against what served when a version was judged."
)


def comparison_of(store: Store, state_dir: Path, n: int, other: int, thresholds: GateThresholds) -> str:
    """The page of version n beside `other`; NotFound where one was not judged, NotAllowed where they have two bases."""
    if n == other:
        raise NotAllowed(f"Expected two versions, found v{n} twice: compare it with another")
    return html(stored_story(store, state_dir, n), stored_story(store, state_dir, other), thresholds)


def html(mine: Story, theirs: Story, thresholds: GateThresholds) -> str:
    """The whole document; the first is the one whose gains are told."""
    joined = _joined(mine, theirs, thresholds)
    n, other = mine.evaluation.version, theirs.evaluation.version
    nothing = tag("p", "Nothing was measured of both.", class_="small")
    sections = {
        "On what both were measured on": gate_section(joined, _HOW) or nothing,
        "Answers side by side": answer_cards(joined.evaluation),
        "Change of each conversation": change_section(joined),
        "Training": _curves(mine, theirs),
        "What differs": since_section(joined),
    }
    blocks = [_head(mine, theirs)]
    blocks += [tag("section", tag("h2", title), body) for title, body in sections.items() if body]
    blocks.append(tag("footer", f"Whetstone · v{n} beside v{other} · this page needs no other file"))
    return document(f"v{n} beside v{other}", blocks)


def _joined(mine: Story, theirs: Story, thresholds: GateThresholds) -> Story:
    try:
        both = side_by_side(mine.evaluation, theirs.evaluation)
    except ValueError as refused:
        raise NotAllowed(str(refused)) from refused
    checks = checks_between(both, thresholds)
    told = Verdict(promoted=False, reasons=(), checks=checks, thresholds=thresholds)
    before = theirs.made or Made(theirs.evaluation.version)
    return Story(both, told, made=mine.made or Made(mine.evaluation.version), before=before)


def _head(mine: Story, theirs: Story) -> Html:
    names = f"v{mine.evaluation.version} beside v{theirs.evaluation.version}"
    return join([
        tag("p", "Two versions", class_="eyebrow"),
        tag("div", tag("h1", names), class_="head"),
        tag("div", _verdict(theirs), _verdict(mine), class_="pair"),
    ])  # fmt: skip


def _verdict(story: Story) -> Html:
    kind, said = outcome(story)
    reasons = [tag("p", sentence(reason)) for reason in story.verdict.reasons]
    name = tag("p", tag("strong", f"v{story.evaluation.version} "), tag("span", said, class_=f"badge {kind}"))
    return tag("div", name, *reasons, class_=f"said {kind}")


def _curves(mine: Story, theirs: Story) -> Html:
    curves = [
        Curve(f"v{story.evaluation.version}, running mean", smoothed(losses_of(story.curve)), kind)
        for story, kind in ((theirs, "s-calm"), (mine, "s-good"))
    ]
    return line_chart("Loss while they were trained", curves, "step", "nats a token")
