"""Curves over the steps of a training, as SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from resources.drawing import WIDE, drawing, evenly, label, line, percent, ticks
from resources.page import Html, tag

_TOP, _TALL, _BELOW = 14, 230, 26
# more points than the width has pixels show nothing more
_MOST_POINTS = 1_500

Point = tuple[float, float]


@dataclass(frozen=True)
class Curve:
    """Points in order of x; `dots` marks each where they are few."""

    name: str
    points: Sequence[Point]
    kind: str
    width: float = 2.2
    dots: bool = False


def line_chart(title: str, curves: Sequence[Curve], x: str, y: str) -> Html:
    """Curves over one another, each by its name, the last value of each thick one written at its end."""
    drawn = [Curve(c.name, _finite(c.points), c.kind, c.width, c.dots) for c in curves]
    drawn = [curve for curve in drawn if curve.points]
    if not drawn:
        return tag("p", f"{title}: nothing was recorded.", class_="small")
    every = [point for curve in drawn for point in curve.points]
    left, right = _range([place for place, _ in every], 0.0)
    low, high = _range([value for _, value in every], 0.06)
    marks = [*_grid(low, high, y), *_steps(left, right, x)]
    marks += [_path(curve, (left, right), (low, high)) for curve in drawn]
    marks += [mark for curve in drawn if curve.width > 1.5 for mark in _end(curve, (left, right), (low, high))]
    figure = drawing(str(_TOP + _TALL + _BELOW), title, *marks)
    return tag("figure", tag("figcaption", title), _legend(drawn), figure)


def _finite(points: Sequence[Point]) -> list[Point]:
    known = [point for point in points if all(map(math.isfinite, point))]
    return [known[at] for at in evenly([place for place, _ in known], _MOST_POINTS)]


def _range(values: Sequence[float], room: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    beyond = (high - low) * room or (0.5 if high == low else 0.0)
    return low - beyond, high + beyond


def _grid(low: float, high: float, unit: str) -> list[Html]:
    marks = []
    places = ticks(low, high, 4)
    for place in places:
        at = f"{_down(place, low, high):.1f}"
        marks.append(line("0", at, "100%", at, "s-line"))
        said = f"{place:g} {unit}" if place == places[-1] else f"{place:g}"
        marks.append(label("0", f"{float(at) - 4:.1f}", said))
    return marks


def _steps(left: float, right: float, name: str) -> list[Html]:
    marks, bottom = [], str(_TOP + _TALL + 18)
    places = [place for place in ticks(left, right, 6) if place == int(place)]
    for at, place in enumerate(places):
        share = _across(place, left, right)
        last = at == len(places) - 1
        anchor = "start" if share < 0.03 else "end" if share > 0.9 else "middle"
        marks.append(label(percent(share), bottom, f"{name} {place:g}" if last else f"{place:g}", anchor))
    return marks


def _path(curve: Curve, wide: tuple[float, float], high: tuple[float, float]) -> Html:
    places = [(WIDE * _across(x, *wide), _down(y, *high)) for x, y in curve.points]
    if len(places) == 1:
        places.append((places[0][0] + 4, places[0][1]))
    written = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    drawn = tag("polyline", points=written, class_=f"none {curve.kind}", stroke_width=curve.width,
                stroke_linejoin="round", stroke_linecap="round", vector_effect="non-scaling-stroke")  # fmt: skip
    tall = _TOP + _TALL
    return tag("svg", drawn, x="0", y="0", width="100%", height=tall, viewBox=f"0 0 {WIDE} {tall}",
               preserveAspectRatio="none")  # fmt: skip


def _end(curve: Curve, wide: tuple[float, float], high: tuple[float, float]) -> list[Html]:
    x, y = curve.points[-1]
    fill = curve.kind.replace("s-", "f-")
    places = curve.points if curve.dots else [(x, y)]
    marks = [
        tag("circle", cx=percent(_across(a, *wide)), cy=f"{_down(b, *high):.1f}", r=3.5, class_=f"{fill} ring",
            stroke_width=1.5)
        for a, b in places
    ]  # fmt: skip
    return [*marks, label("100%", f"{_down(y, *high) - 9:.1f}", f"{y:.2f}", "end", fill)]


def _legend(curves: Sequence[Curve]) -> Html:
    def sample(curve: Curve) -> Html:
        stroke = line("0", "5", "22", "5", curve.kind, curve.width)
        return tag("span", tag("svg", stroke, width="22", height="10", aria_hidden="true"), curve.name)

    return tag("div", *map(sample, curves), class_="legend")


def _across(x: float, left: float, right: float) -> float:
    return (x - left) / (right - left) if right > left else 0.5


def _down(y: float, low: float, high: float) -> float:
    return _TOP + _TALL * (high - y) / (high - low)
