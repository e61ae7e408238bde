"""Marks of a drawing, as SVG in shares of its width: it fits every window and needs no script."""

import math
from collections.abc import Sequence

from resources.page import Html, tag

# what a curve or a bar is drawn in, stretched over the width there is
WIDE = 1000


def line(x1: str, y1: str, x2: str, y2: str, kind: str, width: float = 1, dashes: str | None = None) -> Html:
    """From one place to another; places as SVG writes them, such as `42%`."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind, stroke_width=width, stroke_dasharray=dashes)


def dot(x: str, y: str, radius: float, kind: str) -> Html:
    return tag("circle", cx=x, cy=y, r=radius, class_=kind, stroke_width=1.5)


def label(x: str, y: str, said: str, anchor: str = "start", kind: str | None = None) -> Html:
    return tag("text", said, x=x, y=y, text_anchor=anchor, class_=kind)


def percent(share: float) -> str:
    return f"{100 * share:.2f}%"


def drawing(height: str, title: str, *marks: Html) -> Html:
    """As wide as its place; `title` is what a screen reader says."""
    return tag("svg", tag("title", title), *marks, width="100%", height=height, class_="plot", role="img")


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from low to high, some `about` of them."""
    span = high - low
    if not (span > 0 and math.isfinite(span)):
        return [low]
    raw = span / max(1, about)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(place * step, 12) for place in range(first, last + 1)]


def evenly(values: Sequence[float], most: int) -> list[int]:
    """Places of at most `most` values, the first and the last among them."""
    if len(values) <= most:
        return list(range(len(values)))
    return sorted({round(at * (len(values) - 1) / (most - 1)) for at in range(most)})
