"""The report of a version as one page: the verdict, its checks drawn, answers side by side, data, and what changed."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from core.reason_codes import sentence as reason_sentence
from core.text_metrics import METRICS
from core.verdict import reference_name
from resources import folders
from resources.answer_cards import answer_cards
from resources.drawing import percent
from resources.evaluations import Again
from resources.forest_plot import sentence
from resources.page import Html, document, facts, join, named, table, tag
from resources.report import Story, mean_losses
from resources.report_differences import since_section
from resources.report_sections import change_section, gate_section, training_section
from resources.store import Store
from resources.stories import stored_story

HTML_PAGE = "report.html"
SECTIONS = {
    "gate": "What the gate asked",
    "again": "Evaluated again",
    "answers": "Answers side by side",
    "changes": "Change of each conversation",
    "training": "Training",
    "champion": "What changed",
    "data": "Data",
    "origin": "Where it comes from",
}


def write_page(folder: Path, story: Story) -> Path:
    """The page as a file beside the evaluation; it is whole or not there."""
    folders.write_whole(folder / HTML_PAGE, html(story))
    return folder / HTML_PAGE


def page_of(store: Store, state_dir: Path, n: int) -> str:
    """The page of version n as it stands now; NotFound where it was not judged yet."""
    return html(stored_story(store, state_dir, n))


def html(story: Story) -> str:
    """The whole document; it needs no other file."""
    bodies = {
        "gate": gate_section(story),
        "again": _again(story),
        "answers": answer_cards(story.evaluation),
        "changes": change_section(story),
        "training": training_section(story),
        "champion": since_section(story),
        "data": _data(story),
        "origin": _origin(story.facts),
    }
    blocks = [_head(story), sections_nav(bodies)]
    blocks += [tag("section", tag("h2", SECTIONS[name]), body, id=name) for name, body in bodies.items() if body]
    blocks.append(tag("footer", f"Whetstone · v{story.evaluation.version} · this page needs no other file"))
    return document(f"v{story.evaluation.version}: {outcome(story)[1]}", blocks)


def outcome(story: Story) -> tuple[str, str]:
    """Its colour, and what became of it."""
    if story.override and story.state == "promoted":
        return "bad", "rejected by the gate, promoted by a person"
    return ("good", "promoted") if story.verdict.promoted else ("bad", "rejected")


def _head(story: Story) -> Html:
    n, (kind, said) = story.evaluation.version, outcome(story)
    passed, asked = sum(check.passed for check in story.verdict.checks), len(story.verdict.checks)
    compared = f"compared with {reference_name(story.evaluation.champion)}"
    reasons = [tag("p", sentence(reason)) for reason in story.verdict.reasons]
    if story.override:
        reasons.append(tag("p", "A person overruled the gate: ", sentence(story.override)))
    return join([
        tag("p", "Report of a version", class_="eyebrow"),
        tag("div", tag("h1", f"v{n}"), tag("span", said, class_=f"badge {kind}"), tag("span", compared, class_="soft"),
            class_="head"),
        tag("div", *reasons, class_=f"said {kind}"),
        tag("div", *(_tile(name, figure) for name, figure in _tiles(story, passed, asked)), class_="tiles"),
    ])  # fmt: skip


def _tiles(story: Story, passed: int, asked: int) -> Iterable[tuple[str, str]]:
    if asked:
        yield "checks passed", f"{passed} of {asked}"
    for name, pairs in (("held-out loss", story.evaluation.held_out), ("general set loss", story.evaluation.general)):
        means = mean_losses(pairs)
        before = means.get("base" if story.evaluation.champion is None else "champion")
        if before is not None and "candidate" in means:
            yield name, f"{before:.2f} → {means['candidate']:.2f}"
    if "train" in story.counts:
        yield "conversations trained on", f"{story.counts['train']:,}"
    if "seconds" in story.training:
        yield "trained for", _duration(float(story.training["seconds"]))


def _tile(name: str, figure: str) -> Html:
    return tag("div", tag("span", name), tag("strong", figure), class_="tile")


def sections_nav(bodies: Mapping[str, Html]) -> Html:
    links = [tag("a", SECTIONS[name], href=f"#{name}") for name, body in bodies.items() if body]
    return tag("nav", *links, aria_label="Sections")


def _again(story: Story) -> Html:
    """What later evaluations found; none of them moved anything."""
    if not story.again:
        return Html()
    lines = [
        [
            tag("a", f"{one.created_at:%Y-%m-%d %H:%M} UTC", href=f"evaluations/{one.id}/{HTML_PAGE}"),
            f"golden set {one.upload}" if one.upload else "all sets",
            reference_name(one.compared_with),
            *(_of_metric(one, metric) for metric in METRICS),
            tag("span", "would pass", class_="good") if one.verdict and one.verdict.promoted
            else tag("span", "would not pass", class_="bad"),
        ]
        for one in story.again
    ]  # fmt: skip
    return table(["asked for", "on", "against", *METRICS, "the gate"], lines, range(3, 3 + len(METRICS)))


def _of_metric(one: Again, metric: str) -> str:
    value = one.figures.get(metric, {}).get("candidate")
    return "–" if value is None else f"{value:.3g}"


def _data(story: Story) -> Html:
    counted = {name: value for name, value in story.counts.items() if "." not in name}
    masked = {name.partition(".")[2]: value for name, value in story.counts.items() if name.startswith("masked.")}
    parts = [facts(counted)]
    if story.reasons:
        parts += [tag("h3", "Kept out because"), _reasons(story.reasons)]
    if masked:
        parts += [tag("h3", "Masked, conversations by kind"), facts(masked)]
    return join(parts)


def _reasons(reasons: Mapping[str, int]) -> Html:
    ordered = sorted(reasons.items(), key=lambda entry: (-entry[1], entry[0]))
    most = max(reasons.values())
    return table(
        ["reason", "", "conversations", ""],
        [[tag("code", code), reason_sentence(code), f"{n:,}", _bar(n / most)] for code, n in ordered],
        (2,),
    )


def _bar(share: float) -> Html:
    return tag("svg", tag("rect", x="0", y="3", width=percent(share), height="10", rx="2", class_="f-calm"),
               width="100%", height="16", class_="meter", aria_hidden="true")  # fmt: skip


def _origin(facts: Mapping[str, Any]) -> Html:
    lines = [
        [named(name), tag("code", value) if len(str(value)) > 12 else value]
        for name, value in facts.items()
        if value is not None
    ]
    return table([], lines)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
