"""Each conversation's change of loss, sorted, as SVG."""

from collections.abc import Sequence

from core.verdict import Check
from resources.drawing import WIDE, drawing, label, line, ticks
from resources.page import Html, signed, tag
from resources.plots import counted

_TALL, _TOP = 190, 16
# what the bars take of the width; figures stand beside them
_BARS = "90%"


def change_bars(title: str, changes: Sequence[float], check: Check | None) -> Html:
    """Bars from the best to the worst; the interval of their mean as a band. Less loss is better."""
    caption = tag("figcaption", title, " ", tag("small", f"{counted(changes)}{_in_words(check)}"))
    if not changes:
        return tag("figure", caption)
    low, high = _room(changes)
    marks = [_band(check, low, high), *_grid(low, high), _bars(changes, low, high), *_mean(check, low, high)]
    return tag("figure", caption, drawing(str(_TOP + _TALL), f"{title}: {counted(changes)}", *marks))


def _in_words(check: Check | None) -> str:
    if check is None or check.estimate is None or check.lower is None or check.upper is None:
        return ""
    return signed(f" · mean {check.estimate:+.3f}, between {check.lower:+.3f} and {check.upper:+.3f}")


def _room(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(0.0, *values), max(0.0, *values)
    beyond = (high - low) * 0.08 or 0.5
    return low - beyond, high + beyond


def _grid(low: float, high: float) -> list[Html]:
    marks = []
    for place in ticks(low, high, 4):
        at = _down(place, low, high)
        marks.append(line("0", f"{at:.1f}", _BARS, f"{at:.1f}", "s-ink" if place == 0 else "s-line"))
        marks.append(label("100%", f"{at + 4:.1f}", signed(f"{place:+g}") if place else "0", "end"))
    return marks


def _bars(values: Sequence[float], low: float, high: float) -> Html:
    wide, zero = WIDE / len(values), _down(0.0, low, high)
    bars = []
    for place, value in enumerate(values):
        at = _down(value, low, high)
        bars.append(
            tag("rect", x=f"{place * wide:.2f}", y=f"{min(at, zero):.1f}", width=f"{max(0.6, wide * 0.86):.2f}",
                height=f"{max(0.6, abs(at - zero)):.1f}", class_="f-good" if value < 0 else "f-bad")
        )  # fmt: skip
    tall = _TOP + _TALL
    box = {"x": "0", "y": "0", "width": _BARS, "height": tall, "viewBox": f"0 0 {WIDE} {tall}"}
    return tag("svg", *bars, preserveAspectRatio="none", **box)


def _band(check: Check | None, low: float, high: float) -> Html:
    if check is None or check.lower is None or check.upper is None:
        return Html()
    top, bottom = sorted((_down(check.lower, low, high), _down(check.upper, low, high)))
    return tag("rect", x="0", y=f"{top:.1f}", width=_BARS, height=f"{bottom - top:.1f}", class_="f-line")


def _mean(check: Check | None, low: float, high: float) -> list[Html]:
    if check is None or check.estimate is None:
        return []
    at = f"{_down(check.estimate, low, high):.1f}"
    return [line("0", at, _BARS, at, "s-ink", 1.4, "5 4")]


def _down(value: float, low: float, high: float) -> float:
    return _TOP + _TALL * (high - value) / (high - low)
