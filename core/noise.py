"""Replies that are hardly language: placeholders, symbols, dots, bullets. After Gopher and C4; code is left out."""

import re

from core.reading import Text
from core.rules import Finding, Severity

ELLIPSIS_LINES = 0.3
ELLIPSIS_LEAST = 5
BULLET_LINES = 0.9
BULLET_LEAST = 10
SYMBOLS_PER_WORD = 0.1
SYMBOLS_LEAST = 6
LETTERS_SHARE = 0.25
LETTERS_OF = 40

# neither a hashtag nor C#
SYMBOL = re.compile(r"(?<![\w#])#+(?![\w#])|\.{3,}|…+")
HEADING = re.compile(r"^[ \t]*#{1,6}(?= +[^#\s])", re.MULTILINE)
ENDS_IN_ELLIPSIS = re.compile(r"(?:(?<!\.)\.{3,}|…)[ \t\"'”’)]*$", re.MULTILINE)
BULLET = re.compile(r"^[ \t]*[-*•‣◦·▪●○■□]", re.MULTILINE)
DRAWN_LINE = re.compile(r"([-=_*~#.+|─━═])\1{2,}")
# neither what frames a table nor a picture such as those of yes and no
SIGN = re.compile(r"[!-/:-@\[-`{}~…·•、。]")
PLACEHOLDER_ASKED = re.compile(r"lorem|ipsum|placeholder|dummy|filler|더미|자리 ?표시|샘플|로렘", re.IGNORECASE)


def noise_findings(asked: Text, reply: Text) -> list[Finding]:
    """What makes a reply noise rather than an answer."""
    prose, found = reply.prose, []
    if "loremipsum" in reply.compact and not PLACEHOLDER_ASKED.search(asked.raw):
        found.append(_finding("lorem_ipsum", "Expected an answer, found placeholder text"))
    if "…" in prose or "..." in prose or "#" in prose:
        found += _symbols(prose, len(reply.prose_words)) + _ellipses(prose)
    if prose.count("\n") >= BULLET_LEAST - 1:
        found += _bullets(prose)
    if len(reply.prose_compact) < LETTERS_SHARE * len(prose):
        found += _no_letters(prose, len(reply.prose_compact))
    return found


def _finding(rule: str, message: str, severity: Severity = "error") -> Finding:
    return Finding(rule=rule, severity=severity, where="reply", message=message)


def _symbols(prose: str, words: int) -> list[Finding]:
    symbols = len(SYMBOL.findall(HEADING.sub("", prose)))
    if symbols < SYMBOLS_LEAST or symbols <= SYMBOLS_PER_WORD * words:
        return []
    message = f"Expected at most {SYMBOLS_PER_WORD:g} ellipses or # for each word, found {symbols} for {words} words"
    return [_finding("too_many_symbols", message)]


def _ellipses(prose: str) -> list[Finding]:
    lines, ends = _lines(prose), len(ENDS_IN_ELLIPSIS.findall(prose))
    if ends < ELLIPSIS_LEAST or ends <= ELLIPSIS_LINES * lines:
        return []
    message = f"Expected at most {ELLIPSIS_LINES:.0%} of lines to end in an ellipsis, found {ends} of {lines}"
    return [_finding("too_many_ellipses", message)]


def _bullets(prose: str) -> list[Finding]:
    lines, bullets = _lines(prose), len(BULLET.findall(prose))
    if lines < BULLET_LEAST or bullets <= BULLET_LINES * lines:
        return []
    # a list is a fine answer to many questions
    return [_finding("only_bullets", f"Found a bullet before {bullets} of {lines} lines", "warning")]


def _lines(prose: str) -> int:
    return sum(1 for line in prose.split("\n") if line.strip())


def _no_letters(prose: str, letters: int) -> list[Finding]:
    signs = len(SIGN.findall(DRAWN_LINE.sub("", prose)))
    if signs + letters < LETTERS_OF or letters >= LETTERS_SHARE * (signs + letters):
        return []
    return [_finding("mostly_symbols", f"Expected words, found {letters} letters and digits beside {signs} signs")]
