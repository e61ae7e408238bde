"""The report of a version as one page: the verdict, its checks drawn, answers side by side, data, and what changed."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.gate_answers import tallies
from core.reason_codes import sentence as reason_sentence
from core.verdict import Check, reference_name, reference_of
from resources import folders
from resources.answer_cards import answer_cards
from resources.change_bars import change_bars
from resources.drawing import percent
from resources.forest_plot import forest, sentence
from resources.line_chart import Curve, line_chart
from resources.page import Html, document, join, signed, table, tag
from resources.plots import changes, running_mean
from resources.report import Made, Story, mean_losses
from resources.store import Store
from resources.stories import stored_story

HTML_PAGE = "report.html"
SECTIONS = {
    "gate": "What the gate asked",
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
        "gate": _gate(story),
        "answers": answer_cards(story.evaluation),
        "changes": _changes(story),
        "training": _training(story),
        "champion": _since(story),
        "data": _data(story),
        "origin": _facts(story.facts),
    }
    blocks = [_head(story), _nav(bodies)]
    blocks += [tag("section", tag("h2", SECTIONS[name]), body, id=name) for name, body in bodies.items() if body]
    blocks.append(tag("footer", f"Whetstone · v{story.evaluation.version} · this page needs no other file"))
    return document(f"v{story.evaluation.version}: {_outcome(story)[1]}", blocks)


def _outcome(story: Story) -> tuple[str, str]:
    """Its colour, and what became of it."""
    if story.override and story.state == "promoted":
        return "bad", "rejected by the gate, promoted by a person"
    return ("good", "promoted") if story.verdict.promoted else ("bad", "rejected")


def _head(story: Story) -> Html:
    n, (kind, said) = story.evaluation.version, _outcome(story)
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


def _nav(bodies: Mapping[str, Html]) -> Html:
    links = [tag("a", SECTIONS[name], href=f"#{name}") for name, body in bodies.items() if body]
    return tag("nav", *links, aria_label="Sections")


def _gate(story: Story) -> Html:
    if not story.verdict.checks:
        return Html()
    alpha = story.verdict.thresholds.alpha
    how = (
        f"Every required check must pass, and one that asks for better. Points are estimates, bars their intervals "
        f"(each end one-sided, {1 - alpha:.0%}); better lies on the right. A bar must not reach into the shaded side."
    )
    return join([tag("p", how, class_="small"), forest(story.verdict.checks, story.verdict.thresholds)])


def _changes(story: Story) -> Html:
    by_name = {check.name: check for check in story.verdict.checks}
    reference = reference_name(story.evaluation.champion)
    sides = (
        ("Held-out conversations", story.evaluation.held_out, "held_out_loss_vs_champion"),
        ("General set", story.evaluation.general, "general_non_inferiority"),
    )
    drawn = [_bars(story, title, pairs, by_name.get(name)) for title, pairs, name in sides if pairs]
    if not drawn:
        return Html()
    how = f"Loss with v{story.evaluation.version} minus loss with {reference}, sorted: below zero is better."
    return join([tag("p", how, class_="small"), tag("div", *drawn, class_="pair")])


def _bars(story: Story, title: str, pairs: Sequence[Any], check: Check | None) -> Html:
    return change_bars(title, changes(pairs, story.evaluation.champion), check)


def _training(story: Story) -> Html:
    points = [(float(one.step), one.loss) for one in story.curve if one.loss is not None]
    if not points:
        return _pairs(story.training)
    smooth = running_mean([loss for _, loss in points])
    curves = [
        Curve("each step", points, "s-faint", 1.0),
        Curve("running mean", [(step, value) for (step, _), value in zip(points, smooth, strict=True)], "s-good"),
    ]
    chart = line_chart("Loss while it was trained", curves, "step", "nats a token")
    return join([chart, _pairs(story.training)])


def _since(story: Story) -> Html:
    """Figures, recipe and data beside those of what serves now."""
    before, now = reference_name(story.evaluation.champion), f"v{story.evaluation.version}"
    parts = [tag("h3", "Figures"), table(["", before, now, ""], _figures(story), (1, 2))]
    if story.before is None:
        parts.append(
            tag("p", "It was compared with the base, which has no recipe and no data of ours.", class_="small")
        )
        parts.append(tag("h3", "Recipe"))
        parts.append(_pairs(story.made.recipe if story.made else {}) or tag("p", "It is not known.", class_="small"))
        return join(parts)
    return join([*parts, *differences(story.before, story.made or Made(story.evaluation.version))])


def differences(before: Made, now: Made) -> Iterable[Html]:
    """Recipe and data of two versions; of the recipe only what differs."""
    header = ["", f"v{before.n}", f"v{now.n}"]
    yield tag("h3", "Recipe")
    if not (before.recipe and now.recipe):
        unknown = before if not before.recipe else now
        yield tag("p", f"The recipe of v{unknown.n} was not kept.", class_="small")
    else:
        names = [name for name in {**before.recipe, **now.recipe} if before.recipe.get(name) != now.recipe.get(name)]
        lines = [[_named(name), _shown(before.recipe.get(name)), _shown(now.recipe.get(name))] for name in names]
        same = len({**before.recipe, **now.recipe}) - len(names)
        yield table(header, lines) if lines else Html()
        yield tag(
            "p", f"{same} settings are the same." if lines else f"All {same} settings are the same.", class_="small"
        )
    yield tag("h3", "Data")
    named = [name for name in {**before.counts, **now.counts} if "." not in name]
    lines = [[_named(name), _shown(before.counts.get(name)), _shown(now.counts.get(name))] for name in named]
    lines += [
        [f"of provenance {name}", _shown(before.origins.get(name, 0)), _shown(now.origins.get(name, 0))]
        for name in sorted({**before.origins, **now.origins})
    ]
    yield table(header, lines, (1, 2))


def _figures(story: Story) -> Iterable[list[object]]:
    evaluation = story.evaluation
    sides = (
        ("held out", evaluation.held_out),
        ("general set", evaluation.general),
        ("golden", evaluation.golden or ()),
    )
    for name, pairs in sides:
        means = mean_losses(pairs)
        before = means.get("base" if evaluation.champion is None else "champion")
        if before is not None and "candidate" in means:
            change = means["candidate"] - before
            yield [
                f"mean loss, {name} ({len(pairs)})",
                f"{before:.3f}",
                f"{means['candidate']:.3f}",
                _change(-change, f"{change:+.3f}"),
            ]
    for says, now, earlier, n in tallies(evaluation, story.verdict.thresholds):
        yield [f"{says} (of {n})", earlier, now, _change(now - earlier, f"{now - earlier:+d}")]
    scored = [
        (one, known) for one in evaluation.overlaps if (known := reference_of(one, evaluation.champion)) is not None
    ]
    if scored:
        now_mean = sum(one.candidate for one, _ in scored) / len(scored)
        then = sum(known for _, known in scored) / len(scored)
        yield [
            f"chrF++ of held-out replies ({len(scored)})",
            f"{then:.1f}",
            f"{now_mean:.1f}",
            _change(now_mean - then, f"{now_mean - then:+.1f}"),
        ]


def _change(gain: float, said: str) -> Html:
    kind = "good" if gain > 0 else "bad" if gain < 0 else "soft"
    return tag("span", signed(said), class_=kind)


def _data(story: Story) -> Html:
    counted = {name: value for name, value in story.counts.items() if "." not in name}
    masked = {name.partition(".")[2]: value for name, value in story.counts.items() if name.startswith("masked.")}
    parts = [_pairs(counted)]
    if story.reasons:
        parts += [tag("h3", "Kept out because"), _reasons(story.reasons)]
    if masked:
        parts += [tag("h3", "Masked, conversations by kind"), _pairs(masked)]
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


def _facts(facts: Mapping[str, Any]) -> Html:
    lines = [
        [_named(name), tag("code", value) if len(str(value)) > 12 else value]
        for name, value in facts.items()
        if value is not None
    ]
    return table([], lines)


def _pairs(values: Mapping[str, Any]) -> Html:
    lines = [[_named(name), _shown(value)] for name, value in values.items() if value is not None]
    return table([], lines) if lines else Html()


def _named(name: str) -> str:
    return name.replace("_", " ")


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < 1_000_000 else str(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
