"""Checks with their intervals below each other, one axis a unit; better always lies on the right."""

from collections.abc import Sequence

from core.verdict import Check, GateThresholds
from resources.check_shapes import UNITS, Shape, Unit, shape_of, title_of
from resources.drawing import dot, drawing, label, line, percent, ticks
from resources.page import Html, signed, tag


def forest(checks: Sequence[Check], thresholds: GateThresholds) -> Html:
    """A panel for each unit, then the checks that have no interval."""
    shapes = [(check, shape_of(check, thresholds)) for check in checks]
    panels = [
        _panel(unit, drawn)
        for unit in UNITS
        if (drawn := [shape for _, shape in shapes if shape is not None and shape.unit is unit])
    ]
    plain = [check for check, shape in shapes if shape is None]
    rest = [tag("div", tag("h3", "Without an interval"), class_="unit"), *map(_plain, plain)] if plain else []
    return tag("div", *panels, *rest, class_="forest")


def _panel(unit: Unit, shapes: Sequence[Shape]) -> Html:
    scale = _Scale(unit, shapes)
    head = tag("div", tag("h3", unit.title), tag("span", "better →"), class_="unit")
    return tag("section", head, *(_row(shape, scale) for shape in shapes), scale.axis())


class _Scale:
    """From values to shares of the width, turned where less is better."""

    def __init__(self, unit: Unit, shapes: Sequence[Shape]) -> None:
        known = [0.0] if any(shape.lower <= 0 for shape in shapes) else []
        for shape in shapes:
            known += [shape.lower, shape.upper, shape.estimate, *([] if shape.limit is None else [shape.limit])]
        room = (max(known) - min(known)) * 0.07 or 0.5
        self._unit, self._low, self._high = unit, min(known) - room, max(known) + room

    def at(self, value: float) -> float:
        share = (value - self._low) / (self._high - self._low)
        return 1.0 - share if self._unit.less else share

    def axis(self) -> Html:
        marks = []
        for value in ticks(self._low, self._high, 4):
            share = self.at(value)
            anchor = "start" if share < 0.06 else "end" if share > 0.94 else "middle"
            marks.append(label(percent(share), "15", self._unit.tick(value), anchor))
        return tag("div", drawing("22", "axis", *marks), class_="axis")

    def zero(self) -> list[Html]:
        share = self.at(0.0)
        return [line(percent(share), "0", percent(share), "100%", "s-faint")] if 0.0 <= share <= 1.0 else []


def _row(shape: Shape, scale: _Scale) -> Html:
    check, kind = shape.check, "good" if shape.check.passed else "bad"
    left, right = sorted((scale.at(shape.lower), scale.at(shape.upper)))
    marks = [*_limit(shape, scale), *scale.zero()]
    marks.append(line(percent(left), "50%", percent(right), "50%", f"s-{kind}", 3))
    marks.append(dot(percent(scale.at(shape.estimate)), "50%", 5, f"f-{kind} ring"))
    said = f"{shape.unit.says(shape.lower)} … {shape.unit.says(shape.upper)}"
    plot = tag("div", drawing("100%", f"{title_of(check)}: {said}", *marks), class_="plotted")
    limit = [tag("span", f"limit {shape.unit.says(shape.limit)}")] if shape.limit is not None else []
    figures = [tag("b", shape.unit.says(shape.estimate)), tag("span", said), *limit, *_counted(check)]
    return tag("div", _mark(check), _says(check), plot, tag("div", *figures, class_="figures"), class_=_class(check))


def _limit(shape: Shape, scale: _Scale) -> list[Html]:
    """What an interval must not reach into: shaded, and its edge dashed."""
    if shape.limit is None:
        return []
    edge = percent(scale.at(shape.limit))
    shaded = tag("rect", x="0", y="0", width=edge, height="100%", class_="f-fail")
    return [shaded, line(edge, "0", edge, "100%", "s-bad", 1.2, "4 3")]


def _plain(check: Check) -> Html:
    figures = [tag("span", said) for said in _figures(check)]
    return tag(
        "div", _mark(check), _says(check), tag("div", *figures, *_counted(check), class_="figures"),
        class_=f"{_class(check)} plain",
    )  # fmt: skip


def _class(check: Check) -> str:
    return "row" if check.passed else "row bad"


def _mark(check: Check) -> Html:
    kind, sign, said = ("good", "✓", "passed") if check.passed else ("bad", "✗", "failed")
    return tag("span", sign, class_=f"mark {kind}", title=said, aria_label=said)


def _says(check: Check) -> Html:
    return tag("div", tag("strong", title_of(check)), tag("p", sentence(check.sentence)))


def _figures(check: Check) -> list[str]:
    if check.estimate is None:
        return []
    limit = "" if check.threshold is None or check.p_value is not None else f" (limit {check.threshold:g})"
    return [f"{check.estimate:.3g}{limit}"]


def _counted(check: Check) -> list[Html]:
    n = f"n {check.n:,}" if check.clusters in (None, check.n) else f"n {check.n:,} in {check.clusters:,} clusters"
    said = [n]
    if check.p_value is not None:
        said.append(f"p {check.p_value:.4f}" if check.p_value >= 1e-4 else "p < 0.0001")
    if check.power is not None:
        said.append(f"power {check.power:.0%} for {check.effect or 0.0:g}")
    return [tag("span", one, title=check.statistic.replace("_", " ")) for one in said]


def sentence(said: str) -> str:
    """With a capital, unless its first word is a name such as v3 or chrF++, with signs as they are set, and an end."""
    plain = said[:1].islower() and said.split(maxsplit=1)[0].strip(",;:").isalpha()
    return signed(said[:1].upper() + said[1:] if plain else said) + ("" if said.endswith((".", "!", "?")) else ".")
