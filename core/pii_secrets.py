"""Keys, tokens and passwords: whoever reads one can act as somebody."""

import re
from collections.abc import Iterator

from core.pii_kinds import Hit, Text

# what must stand in the text for the pattern to be tried: looking for a word is far cheaper
_ISSUED: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (hint, re.compile(pattern))
    for hint, pattern in (
        ("sk-", r"(?<![A-Za-z0-9_-])sk-[A-Za-z0-9_-]{20,}"),
        ("ghp_", r"(?<![A-Za-z0-9_])gh[pousr]_[A-Za-z0-9]{30,}"),
        ("gho_", r"(?<![A-Za-z0-9_])gh[pousr]_[A-Za-z0-9]{30,}"),
        ("ghu_", r"(?<![A-Za-z0-9_])gh[pousr]_[A-Za-z0-9]{30,}"),
        ("ghs_", r"(?<![A-Za-z0-9_])gh[pousr]_[A-Za-z0-9]{30,}"),
        ("ghr_", r"(?<![A-Za-z0-9_])gh[pousr]_[A-Za-z0-9]{30,}"),
        ("github_pat_", r"github_pat_[A-Za-z0-9_]{22,}"),
        ("glpat-", r"glpat-[A-Za-z0-9_-]{20,}"),
        ("AKIA", r"(?<![A-Za-z0-9])A[KS]IA[A-Z0-9]{16}(?![A-Za-z0-9])"),
        ("ASIA", r"(?<![A-Za-z0-9])A[KS]IA[A-Z0-9]{16}(?![A-Za-z0-9])"),
        ("xox", r"(?<![A-Za-z0-9])x(?:ox[abeoprs]|app)-[A-Za-z0-9-]{10,}"),
        ("xapp-", r"(?<![A-Za-z0-9])x(?:ox[abeoprs]|app)-[A-Za-z0-9-]{10,}"),
        ("hooks.slack.com/", r"hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_-]{20,}"),
        ("AIza", r"(?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{35}"),
        ("ya29.", r"(?<![A-Za-z0-9])ya29\.[A-Za-z0-9_-]{20,}"),
        ("hf_", r"(?<![A-Za-z0-9_])hf_[A-Za-z0-9]{30,}"),
        ("npm_", r"(?<![A-Za-z0-9_])npm_[A-Za-z0-9]{36}"),
        ("pypi-", r"pypi-[A-Za-z0-9_-]{50,}"),
        ("k_live_", r"(?<![A-Za-z0-9])[rs]k_(?:live|test)_[A-Za-z0-9]{16,}"),
        ("k_test_", r"(?<![A-Za-z0-9])[rs]k_(?:live|test)_[A-Za-z0-9]{16,}"),
        ("SG.", r"(?<![A-Za-z0-9])SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
        ("dop_v1_", r"(?:dop_v1|shpat)_[a-f0-9]{32,}"),
        ("shpat_", r"(?:dop_v1|shpat)_[a-f0-9]{32,}"),
        ("eyJ", r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?"),
    )
)
# the shortest of them is longer, and few words are as long
_LONG = re.compile(r"[A-Za-z0-9_\-.+/=]{14}")
_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_LINES = re.compile(r"(?:[A-Za-z0-9+/=:,\- \\]*(?:\r?\n|\\n|$))*")
_IN_URL = re.compile(r"://[^\s/:@\"'<>\0]{1,128}:([^\s/\"'<>\0]{3,128})@(?=[A-Za-z0-9])")
_BEARER = re.compile(r"\bbearer\s+([a-z0-9._~+/-]{20,}=*)", re.IGNORECASE)

# names in lower case; a key is a secret only where it is said to what
_NAME = re.compile(
    r"(?=[ptsck비암토시키])(?:(?P<password>passw(?:or)?d|passphrase|pwd|비밀번호|비번|암호)|token|secret|credentials?|토큰"
    r"|시크릿(?:\s?키)?|(?P<key>key|키))"
)
_KEY_TO = re.compile(r"(?:api|secret|access|private|signing|encryption|auth|account|master|인증|비밀|접근)[_\- ]?$")
_KEY_TO_LENGTH = 12
_NAMES = (
    "key",
    "token",
    "secret",
    "passw",
    "passphrase",
    "pwd",
    "credential",
    "비밀번호",
    "비번",
    "암호",
    "토큰",
    "시크릿",
    "키",
)
_SOME = r"[\"'`]?(?P<value>[^\s\"'`,;<>{}()\[\]|]{6,512})"
# behind any name: api_key = "..."; in a list or a table, where only long ones count; right behind 비밀번호
_GIVEN = re.compile(rf"[\"'`]?\s{{0,3}}(?:=>|:=|=|:|은|는|이|가|\bis\b)\s{{0,3}}{_SOME}", re.IGNORECASE)
_LISTED = re.compile(rf"[\"'`]?(?: ?[|,] ?| - ){_SOME}")
_RIGHT_BEHIND = re.compile(rf"(?<=[가-힣]) ?{_SOME}")
_SHORTEST, _LISTED_LEAST = 6, 20
# chance makes a half of them capitals, nameLikeThis a sixth, NAME_LIKE_THIS all
_FEWEST_CAPITALS, _MOST_CAPITALS = 0.28, 0.75
_A_VALUE = re.compile(r"[A-Za-z0-9_\-./+=~!@#$%^&*?:]+")
_TOKEN = re.compile(r"[A-Za-z0-9_\-/+=~.]{16,}")
# os.environ, self.token, config.key: names in code, not values
_IN_CODE = re.compile(r"[A-Za-z_][A-Za-z_0-9]*(?:\.[A-Za-z_][A-Za-z_0-9]*)+$|https?:|\.{0,2}/[a-z_]*(?:/|\.|$)|\$|%")


# without one of these no secret is known, also where there is no digit
HINTS = (
    *(hint for hint, _ in _ISSUED),
    "PRIVATE KEY",
    "key",
    "KEY",
    "token",
    "TOKEN",
    "secret",
    "SECRET",
    "earer",
    "키",
    "토큰",
)


def secrets(text: Text) -> Iterator[Hit]:
    """In the form their issuer gives them, in a URL, or behind a name that says so."""
    plain = text.plain
    if _LONG.search(plain):
        for hint, pattern in _ISSUED:
            if hint in plain:
                yield from (Hit("secret", *match.span(), True, 0) for match in pattern.finditer(plain))
        if "bearer" in text.lower:
            for match in _BEARER.finditer(plain):
                if _looks_secret(match[1], password=False):
                    yield Hit("secret", *match.span(1), True, 1)
    if "PRIVATE KEY" in plain:
        yield from _private_keys(plain)
    if "://" in plain and "@" in plain:
        yield from (Hit("secret", *match.span(1), True, 1) for match in _IN_URL.finditer(plain))
    for name in _NAMES:
        if name in text.lower:
            yield from _assigned(text)
            break


def _private_keys(plain: str) -> Iterator[Hit]:
    """To their end, or as far as a key without one goes."""
    reached = 0
    for begin in _PEM.finditer(plain):
        if begin.start() < reached:
            continue  # a part of the key before: looked at again for each, a long text would take hours
        lines = _PEM_LINES.match(plain, begin.end())
        end = lines.end() if lines else begin.end()
        closing = _PEM_END.search(plain, begin.end(), begin.end() + 16_384)
        reached = closing.end() if closing else end
        yield Hit("secret", begin.start(), reached, True, 0)


def _assigned(text: Text) -> Iterator[Hit]:
    for name in _NAME.finditer(text.lower):
        start = name.start()
        if name["key"] and not _KEY_TO.search(text.lower, max(0, start - _KEY_TO_LENGTH), start):
            continue
        password = name["password"] is not None
        for pattern in (_GIVEN, _RIGHT_BEHIND if password else _LISTED):
            given = pattern.match(text.plain, name.end())
            found = _A_VALUE.match(given["value"]) if given else None
            if given and found:
                value = found[0].rstrip("." if password else ".:?!")
                if _looks_secret(value, password) and (pattern is not _LISTED or len(value) >= _LISTED_LEAST):
                    yield Hit("secret", given.start("value"), given.start("value") + len(value), False, 2)
                    break


def _looks_secret(value: str, password: bool) -> bool:
    """A password mixes letters with digits; a token is long as well, or has capitals where no name would."""
    if len(value) < _SHORTEST or _IN_CODE.match(value) or not (password or _TOKEN.fullmatch(value)):
        return False
    if any(c.isdigit() for c in value) and any(c.isalpha() for c in value):
        return True
    capitals = sum(map(str.isupper, value)) / len(value)
    return not password and len(value) >= _LISTED_LEAST and _FEWEST_CAPITALS <= capitals <= _MOST_CAPITALS
