"""Keys, tokens and passwords: whoever reads one can act as somebody."""

import re
from collections.abc import Iterator

from core.pii_kinds import Hit, Text

# how one begins | what it is; looking for all the beginnings at once is far cheaper
_ISSUED: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (begin, re.compile(pattern))
    for begin, pattern in (
        ("sk-", r"(?<![A-Za-z0-9_-])sk-[A-Za-z0-9_-]{20,}"),
        ("gh[pousr]_", r"(?<![A-Za-z0-9_])gh[pousr]_[A-Za-z0-9]{30,}"),
        ("github_pat_", r"github_pat_[A-Za-z0-9_]{22,}"),
        ("glpat-", r"glpat-[A-Za-z0-9_-]{20,}"),
        ("A[KS]IA", r"(?<![A-Za-z0-9])A[KS]IA[A-Z0-9]{16}(?![A-Za-z0-9])"),
        ("x(?:ox|app-)", r"(?<![A-Za-z0-9])x(?:ox[abeoprs]|app)-[A-Za-z0-9-]{10,}"),
        ("hooks[.]slack[.]com/", r"hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_-]{20,}"),
        ("AIza", r"(?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{35}"),
        ("ya29[.]", r"(?<![A-Za-z0-9])ya29\.[A-Za-z0-9_-]{20,}"),
        ("hf_", r"(?<![A-Za-z0-9_])hf_[A-Za-z0-9]{30,}"),
        ("npm_", r"(?<![A-Za-z0-9_])npm_[A-Za-z0-9]{36}"),
        ("pypi-", r"pypi-[A-Za-z0-9_-]{50,}"),
        ("k_(?:live|test)_", r"(?<![A-Za-z0-9])[rs]k_(?:live|test)_[A-Za-z0-9]{16,}"),
        ("SG[.]", r"(?<![A-Za-z0-9])SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
        ("dop_v1_|shpat_", r"(?:dop_v1|shpat)_[a-f0-9]{32,}"),
        ("eyJ", r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?"),
    )
)
_BEGIN = re.compile("|".join(begin for begin, _ in _ISSUED))
_WHICH = re.compile("|".join(f"({begin})" for begin, _ in _ISSUED))
_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_LINES = re.compile(r"(?:[A-Za-z0-9+/=:,\- \\]*(?:\r?\n|\\n|$))*")
_IN_URL = re.compile(r"://[^\s/:@\"'<>\0]{1,128}:([^\s/\"'<>\0]{3,128})@(?=[A-Za-z0-9])")
_BEARER = re.compile(r"\bbearer\s+([a-z0-9._~+/-]{20,}=*)", re.IGNORECASE)

# names in lower case; a key is a secret only where it is said to what
_NAME = re.compile(  # a letter first in each, as a search goes from one to the next; pw is a word of its own
    r"p(?:assw(?:or)?d|assphrase|wd|(?<![a-z0-9_].)w(?![a-z0-9_]))|비(?:밀번호|번)|패스워드|암호|token|secret"
    r"|credentials?|토큰|시크릿(?:\s?키)?|key|키"
)
_KEYS, _PASSWORDS = ("key", "키"), ("p", "비", "패", "암")
_KEY_TO = (
    "api",
    "secret",
    "access",
    "private",
    "signing",
    "encryption",
    "auth",
    "account",
    "master",
    "인증",
    "비밀",
    "접근",
)
_KEY_TO_LENGTH = 12
_SOME = r"[\"'`]?(?P<value>[^\s\"'`,;<>{}()\[\]|]{6,512})"
# behind any name: api_key = "..."; in a list or a table, where only long ones count; right behind 비밀번호
_GIVEN = re.compile(rf"[\"'`]?\s{{0,3}}(?:=>|:=|=|:|은|는|이|가|\b[Ii][Ss]\b)\s{{0,3}}{_SOME}")
_LISTED = re.compile(rf"[\"'`]?(?: ?[|,] ?| - ){_SOME}")
_RIGHT_BEHIND = re.compile(rf"(?<=[가-힣]) ?{_SOME}")
_SHORTEST, _LISTED_LEAST = 6, 20
# chance makes a half of them capitals, nameLikeThis a sixth, NAME_LIKE_THIS all
_FEWEST_CAPITALS, _MOST_CAPITALS = 0.28, 0.75
_A_VALUE = re.compile(r"[A-Za-z0-9_\-./+=~!@#$%^&*?:]+")
# a password of digits alone, where no counter says how many of something: 암호는 100000번 해시
_DIGITS = re.compile(r"\d{6,}")
_COUNTED = re.compile(r" ?(?:번|회|자|개|명|원|년|월|일 |만|times|bits?|chars?)")
# 비밀번호는 SHA-256으로: how it is made, which is no secret
_METHOD = re.compile(
    r"(?:(?:SHA|AES|RSA|GPT|[HREP]S)-?\d|(?:sha|aes|rsa|gpt)-\d|bcrypt|argon|scrypt|PBKDF)[A-Za-z\d-]*"
)
_TOKEN = re.compile(r"[A-Za-z0-9_\-/+=~.]{16,}")
# os.environ, self.token, config.key: names in code, not values
_IN_CODE = re.compile(r"[A-Za-z_][A-Za-z_0-9]*(?:\.[A-Za-z_][A-Za-z_0-9]*)+$|https?:|\.{0,2}/[a-z_]*(?:/|\.|$)|\$|%")


def may_hold_secret(plain: str) -> bool:
    """Whether a text without any digit is worth a look."""
    return (
        "key" in plain or "KEY" in plain or "token" in plain or "TOKEN" in plain or "secret" in plain
        or "SECRET" in plain or "earer" in plain or "키" in plain or "토큰" in plain or _may_be_issued(plain)
    )  # fmt: skip


def secrets(text: Text) -> list[Hit]:
    """In the form their issuer gives them, in a URL, or behind a name that says so."""
    plain = text.plain
    hits = list(_issued(plain)) if _may_be_issued(plain) else []
    if "b" in text.lower and "bearer" in text.lower:
        for match in _BEARER.finditer(plain):
            if _looks_secret(match[1], password=False):
                hits.append(Hit("secret", *match.span(1), True, 1))
    if "K" in plain and "PRIVATE KEY" in plain:
        hits.extend(_private_keys(plain))
    if "@" in plain and "://" in plain:
        hits.extend(Hit("secret", *match.span(1), True, 1) for match in _IN_URL.finditer(plain))
    if _may_be_named(text.lower):
        hits.extend(given for name in _NAME.finditer(text.lower) if (given := _assigned(text, name)))
    return hits


def _may_be_issued(plain: str) -> bool:
    """Something of each of the beginnings, a letter first: to look for one costs a quarter of looking for a word."""
    return (
        ("-" in plain and _may_be_issued_with_hyphen(plain)) or ("_" in plain and _may_be_issued_with_line(plain))
        or ("K" in plain and "KIA" in plain) or ("S" in plain and ("SIA" in plain or "SG." in plain))
        or ("z" in plain and "AIza" in plain) or ("J" in plain and "eyJ" in plain)
        or ("y" in plain and "ya29." in plain) or ("/" in plain and "slack.com/" in plain)
    )  # fmt: skip


def _may_be_issued_with_hyphen(plain: str) -> bool:
    return (
        ("k" in plain and "sk-" in plain) or ("x" in plain and ("xox" in plain or "xapp-" in plain))
        or ("p" in plain and ("pypi-" in plain or "glpat-" in plain))
    )  # fmt: skip


def _may_be_issued_with_line(plain: str) -> bool:
    return (
        ("h" in plain and ("hf_" in plain or "gh" in plain)) or ("k" in plain and "k_" in plain)
        or ("p" in plain and ("npm_" in plain or "pat_" in plain or "dop_" in plain))
    )  # fmt: skip


def _may_be_named(lower: str) -> bool:
    return (
        ("k" in lower and ("key" in lower or "token" in lower))
        or ("p" in lower and ("passw" in lower or "passphrase" in lower or "pw" in lower))
        or ("c" in lower and ("secret" in lower or "credential" in lower))
        or (not lower.isascii() and _may_be_named_in_korean(lower))
    )  # fmt: skip


def _may_be_named_in_korean(lower: str) -> bool:
    return (
        "키" in lower or ("비" in lower and ("비밀번호" in lower or "비번" in lower))
        or ("워" in lower and "패스워드" in lower) or ("암" in lower and "암호" in lower)
        or ("큰" in lower and "토큰" in lower) or ("릿" in lower and "시크릿" in lower)
    )  # fmt: skip


def _issued(plain: str) -> Iterator[Hit]:
    reached = [0] * len(_ISSUED)
    for begin in _BEGIN.finditer(plain):
        start, named = begin.start(), _WHICH.match(begin[0])
        which = named.lastindex - 1 if named and named.lastindex else 0
        # one that begins in another of its kind is a part of it, and would be followed to its end again
        before = begin[0][0] == "k"  # what it begins with would slow the search for all of them: sk_live_ and rk_live_
        match = _ISSUED[which][1].match(plain, start - before) if start >= reached[which] else None
        if match:
            reached[which] = match.end()
            yield Hit("secret", *match.span(), True, 0)


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


def _assigned(text: Text, name: re.Match[str]) -> Hit | None:
    """The secret that this name is given."""
    start, end = name.span()
    if name[0] in _KEYS and not _is_key_to(text.lower[max(0, start - _KEY_TO_LENGTH) : start]):
        return None
    password = name[0].startswith(_PASSWORDS)
    for pattern in (_GIVEN, _RIGHT_BEHIND if password else _LISTED):
        given = pattern.match(text.plain, end)
        found = _A_VALUE.match(given["value"]) if given else None
        if given and found:
            value = found[0].rstrip("." if password else ".:?!")
            if password and _DIGITS.fullmatch(value) and not _COUNTED.match(given["value"], len(value)):
                return Hit("secret", given.start("value"), given.start("value") + len(value), False, 2)
            if _looks_secret(value, password) and (pattern is not _LISTED or len(value) >= _LISTED_LEAST):
                return Hit("secret", given.start("value"), given.start("value") + len(value), False, 2)
    return None


def _is_key_to(before: str) -> bool:
    return before.endswith(_KEY_TO) or (before[-1:] in ("_", "-", " ") and before[:-1].endswith(_KEY_TO))


def _looks_secret(value: str, password: bool) -> bool:
    """A password mixes letters with digits; a token is long as well, or has capitals where no name would."""
    if (
        len(value) < _SHORTEST
        or _IN_CODE.match(value)
        or _METHOD.fullmatch(value)
        or not (password or _TOKEN.fullmatch(value))
    ):
        return False
    if any(c.isdigit() for c in value) and any(c.isalpha() for c in value):
        return True
    capitals = sum(map(str.isupper, value)) / len(value)
    return not password and len(value) >= _LISTED_LEAST and _FEWEST_CAPITALS <= capitals <= _MOST_CAPITALS
