"""The shell of our pages: one HTML document with its style inside, no script, and nothing from elsewhere.

Text goes in as `str` and is escaped; what is `Html` already stands as it is.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

_HANGUL = re.compile("[\uac00-\ud7a3]")
_STYLE = Path(__file__).with_name("pages.css")


_MINUS = re.compile(r"(?<![\w-])-(?=[\d.])")


class Html(str):
    """Markup that was made here; every text in it is escaped already."""

    __slots__ = ()


def text(value: object) -> Html:
    """A text as it is read, Korean marked as such."""
    if isinstance(value, Html):
        return value
    said = str(value)
    return Html(f'<span lang="ko">{escape(said)}</span>' if _HANGUL.search(said) else escape(said))


def join(parts: Iterable[str], between: str = "") -> Html:
    """Several after each other; what is no `Html` is escaped."""
    return Html(between.join(text(part) for part in parts))


def signed(said: str) -> str:
    """With a minus before negative numbers where a hyphen stands."""
    return _MINUS.sub("\u2212", said)


def tag(name: str, *inside: object, **attributes: object) -> Html:
    """One element; `class_` is written `class`, `x_1` as `x-1`."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    opened = f"<{name}{written}>"
    return Html(opened if name == "img" else f"{opened}{join(text(one) for one in inside)}</{name}>")


def table(header: Sequence[str], lines: Iterable[Sequence[object]], numbers: Iterable[int] = ()) -> Html:
    """A table that scrolls by itself where it is wide; `numbers` are the columns of figures."""
    right = frozenset(numbers)

    def row(name: str, cells: Sequence[object]) -> Html:
        return tag("tr", *(tag(name, cell, class_="n" if at in right else None) for at, cell in enumerate(cells)))

    head = tag("thead", row("th", header)) if any(header) else Html()
    body = tag("tbody", *(row("td", cells) for cells in lines))
    return tag("div", tag("table", head, body, class_=None if any(header) else "facts"), class_="scroll")


def facts(values: Mapping[str, Any]) -> Html:
    """Names and values below each other, unknown ones left out; nothing where there is none."""
    lines = [[named(name), shown(value)] for name, value in values.items() if value is not None]
    return table([], lines) if lines else Html()


def named(name: str) -> str:
    """A name of ours in words."""
    return name.replace("_", " ")


def shown(value: Any) -> str:
    """A value as a person reads it: numbers cut, lists in a row."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < 1_000_000 else str(value)
    if isinstance(value, float):
        return signed(f"{value:.4g}")
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def document(title: str, body: Iterable[str]) -> str:
    """A whole page. Its policy lets a browser run nothing and load nothing, whatever stands in it."""
    style, policy = _style()
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n<body>\n{join(body, chr(10))}\n</body></html>\n"
    )


@cache
def _style() -> tuple[str, str]:
    """The style, and the policy that admits this style alone."""
    style = _STYLE.read_text(encoding="utf-8")
    known = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return style, (
        f"default-src 'none'; style-src 'sha256-{known}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
