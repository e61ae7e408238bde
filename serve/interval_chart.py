"""Small drawings of intervals and looks, as SVG without a script."""

from collections.abc import Sequence
from html import escape

from core.comparisons import Comparison
from core.experiments import METRICS, Look

_WIDTH, _LEFT, _RIGHT, _ROW = 900.0, 200.0, 210.0, 34.0
_TALL = 220.0
_MIDDLE = (_LEFT + _WIDTH - _RIGHT) / 2
_HALF = (_WIDTH - _RIGHT - _LEFT) / 2
_COLOURS = {"better": "var(--good)", "worse": "var(--bad)"}


def intervals(comparisons: Sequence[Comparison]) -> str:
    """One row a metric, each on a scale of its own around zero."""
    rows = [_interval(one, 20 + place * _ROW) for place, one in enumerate(comparisons)]
    height = 20 + len(comparisons) * _ROW
    zero = f'<line x1="{_MIDDLE:.1f}" x2="{_MIDDLE:.1f}" y1="4" y2="{height - 8:.1f}" stroke="currentColor"/>'
    return _svg(height, zero + "".join(rows), "Differences with their intervals")


def looks_chart(taken: Sequence[Look], boundaries: Sequence[float]) -> str:
    """Each look's z-values beside the boundary they had to cross, on either side."""
    highest = max([*boundaries, *(abs(z) for look in taken for z in look.statistics.values())]) * 1.15

    def across(fraction: float) -> float:
        return 60 + fraction * (_WIDTH - 220)

    def down(z: float) -> float:
        return _TALL / 2 - z / highest * (_TALL / 2 - 12)

    limits = [(across(look.fraction), limit) for look, limit in zip(taken, boundaries, strict=True)]
    parts = [_line(60, across(1), down(0), down(0), "var(--line)", 1)]
    for sign in (1, -1):
        points = [(x, down(sign * limit)) for x, limit in limits]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="var(--calm)" stroke-dasharray="5 4"/>')
        parts += [_dot(x, y, "var(--calm)", 3) for x, y in points]
    for (x, limit), look in zip(limits, taken, strict=True):
        parts.append(_text(x - 12, _TALL - 2, f"{look.fraction:.0%}"))
        for arm, z in look.statistics.items():
            colour = "currentColor" if abs(z) < limit else "var(--good)" if z > 0 else "var(--bad)"
            parts += [_dot(x, down(z), colour, 6), _text(x + 10, down(z) + 4, f"{arm} {z:+.2f}")]
    parts += [_text(0, down(highest / 1.15) + 4, "better"), _text(0, down(-highest / 1.15) + 4, "worse")]
    return _svg(_TALL, "".join(parts), "Looks beside their boundaries")


def _interval(one: Comparison, y: float) -> str:
    sign = METRICS[one.metric].sign
    bounds = [one.difference.lower, one.difference.upper, one.difference.estimate, one.margin]
    bounds += [one.always_valid.lower, one.always_valid.upper] if one.always_valid else []
    scale = max(abs(bound) for bound in bounds) * 1.08 or 1.0

    def x(value: float) -> float:
        return _MIDDLE + value / scale * _HALF

    colour = _COLOURS.get(one.guard, "var(--calm)")
    parts = [_text(0, y + 4, METRICS[one.metric].words)]
    if sign:
        at = x(-sign * one.margin)
        parts.append(_line(at, at, y - 11, y + 11, "var(--line)", 2, ' stroke-dasharray="3 3"'))
    if one.always_valid:
        parts.append(_line(x(one.always_valid.lower), x(one.always_valid.upper), y, y, colour, 1.5))
    parts.append(_line(x(one.difference.lower), x(one.difference.upper), y, y, colour, 7))
    parts.append(_dot(x(one.difference.estimate), y, colour, 6))
    shown = f"{one.difference.estimate:+.3g} ({one.difference.lower:.2g} … {one.difference.upper:.2g})"
    return "".join([*parts, _text(_WIDTH - _RIGHT + 12, y + 4, shown)])


def _line(x1: float, x2: float, y1: float, y2: float, colour: str, width: float, more: str = "") -> str:
    ends = f'x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"{more}/>'


def _dot(x: float, y: float, colour: str, radius: float) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>'


def _text(x: float, y: float, said: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}">{escape(said)}</text>'


def _svg(height: float, inside: str, title: str) -> str:
    box = f'viewBox="0 0 {_WIDTH:.0f} {height:.0f}"'
    return f'<svg {box} role="img" xmlns="http://www.w3.org/2000/svg"><title>{title}</title>{inside}</svg>'
