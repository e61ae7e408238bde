"""What differs between a version and what it is held against: figures, recipe, data."""

from collections.abc import Iterable

from core.gate_answers import tallies
from core.verdict import reference_name, reference_of
from resources.page import Html, facts, join, named, shown, signed, table, tag
from resources.report import Made, Story, mean_losses


def since_section(story: Story) -> Html:
    """Figures, recipe and data beside those of what serves now."""
    before, now = reference_name(story.evaluation.champion), f"v{story.evaluation.version}"
    parts = [tag("h3", "Figures"), table(["", before, now, ""], _figures(story), (1, 2))]
    if story.before is None:
        parts.append(
            tag("p", "It was compared with the base, which has no recipe and no data of ours.", class_="small")
        )
        parts.append(tag("h3", "Recipe"))
        parts.append(facts(story.made.recipe if story.made else {}) or tag("p", "It is not known.", class_="small"))
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
        lines = [[named(name), shown(before.recipe.get(name)), shown(now.recipe.get(name))] for name in names]
        same = len({**before.recipe, **now.recipe}) - len(names)
        yield table(header, lines, (1, 2)) if lines else Html()
        yield tag(
            "p", f"{same} settings are the same." if lines else f"All {same} settings are the same.", class_="small"
        )
    yield tag("h3", "Data")
    counted = [name for name in {**before.counts, **now.counts} if "." not in name]
    lines = [[named(name), shown(before.counts.get(name)), shown(now.counts.get(name))] for name in counted]
    lines += [
        [f"of provenance {name}", shown(before.origins.get(name, 0)), shown(now.origins.get(name, 0))]
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
