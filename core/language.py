"""Which language a text is in: Korean, English or another; a cheap method with known limits.

Hangul makes 30 % of the letters: Korean. Latin makes 70 %: English, unless the commonest words of other languages
(`core.common_words`) outnumber those of English, or one letter in twelve has an accent. Limits: a Latin text of few
words, or in a language without common words here, counts as English; so does Korean in Latin letters; and a quotation
that is long enough outweighs the sentence around it, which `mismatch` allows for. A Korean question about code or songs
lets any English reply pass.
"""

import re
from collections.abc import Iterable
from typing import Literal

from core.common_words import ELSEWHERE, ENGLISH
from core.reading import Text

Language = Literal["ko", "en", "other"]

HANGUL_SHARE = 0.3
LATIN_SHARE = 0.7
ACCENTED_SHARE = 1 / 12
# a name of a place may have a word of its own language
NAME_WORDS = 4
# below this a text is a name, a number or a sigh; a Hangul syllable says about as much as three Latin letters
ENOUGH_LETTERS = 9
SYLLABLE = 3

# of folded text: no capitals, no full width
HANGUL = re.compile(r"[\u1100-\u11ff\u3131-\u318e\ua960-\ua97f\uac00-\ud7fb]+")
SYLLABLES = re.compile(r"[\uac00-\ud7a3]+")
LATIN = re.compile(r"[a-z\u00df-\u00f6\u00f8-\u024f\u1e00-\u1eff]+")
ASCII_LETTERS = re.compile(r"[a-z]+")
LETTERS = re.compile(r"[^\W\d_]+")

ASKS_FOR_ANOTHER = re.compile(
    r"번역|통역|영작|직역|의역|언어|외국어|[영국]문|[영독불중]어|한국어|우리말|한국말|한글|일본어|일어|중국말|스페인어|"
    r"독일어|프랑스어|러시아어|이탈리아어|베트남어|아랍어|포르투갈어|태국어|라틴어|한자|로마자|발음|맞춤법|문법|"
    r"미국|영국|캐나다|호주|외국|해외|바이어|토익|토플|"
    r"translat|interpret|languages?\b|\b(?:english|korean|hangul|hangeul|japanese|chinese|mandarin|cantonese|spanish|"
    r"french|german|italian|portuguese|russian|arabic|hindi|vietnamese|thai|indonesian|turkish|dutch|polish|swedish|"
    r"greek|hebrew|latin|español|deutsch|français)\b|how do (?:you|i|we) say",
    re.IGNORECASE,
)
# code outside of a fence, and names that nobody translates
ASKS_FOR_CODE_OR_NAMES = re.compile(
    r"쿼리|sql|코드|소스|함수|명령어|커맨드|정규 ?표현식|정규식|스크립트|파이썬|자바|"
    r"노래|팝송|가사|앨범|밴드|영화 제목",
    re.IGNORECASE,
)


def language_of(text: Text) -> Language | None:
    """The language of the prose; None where there is too little of it: code, numbers, a name, a short answer."""
    compact = text.prose_compact
    if compact.isascii():
        return _latin(text) if count(ASCII_LETTERS, compact) >= ENOUGH_LETTERS else None
    hangul = count(HANGUL, compact)
    if SYLLABLE * hangul >= ENOUGH_LETTERS and hangul >= HANGUL_SHARE * len(compact):
        return "ko"
    letters, latin = count(LETTERS, compact), count(LATIN, compact)
    if latin + SYLLABLE * (letters - latin) < ENOUGH_LETTERS:
        return None
    if hangul >= HANGUL_SHARE * letters:
        return "ko"
    if latin < LATIN_SHARE * letters:
        return "other"
    accented = latin - count(ASCII_LETTERS, compact)
    return "other" if accented > ACCENTED_SHARE * latin else _latin(text)


def script_of(text: Text) -> Language:
    """What a text too short for a language looks like."""
    if HANGUL.search(text.compact):
        return "ko"
    return "en" if ASCII_LETTERS.search(text.compact) else "other"


def count(pattern: re.Pattern[str], text: str) -> int:
    """How many characters of the text match."""
    return len("".join(pattern.findall(text)))


def _latin(text: Text) -> Language:
    if ELSEWHERE.isdisjoint(text.prose_words):
        return "en"
    elsewhere = sum(word in ELSEWHERE for word in text.prose_words)
    english = sum(word in ENGLISH for word in text.prose_words)
    # "Los Angeles" is an answer in English too
    sure = elsewhere > 1 or len(text.prose_words) >= NAME_WORDS
    return "other" if sure and elsewhere > english else "en"


def mismatch(
    asked: Text, reply: Text, first: Language | None, second: Language | None, instructions: Iterable[str] = ()
) -> bool:
    """Whether question and reply, in their languages, share none and no other language was asked for.

    `instructions` are the system message and the earlier questions, where another language may have been agreed on.
    """
    if first is None or second is None or first == second or _spoken(asked, first) & _spoken(reply, second):
        return False
    sides = {first: asked, second: reply}
    if "en" in sides and ENGLISH.isdisjoint(sides["en"].prose_words):
        return False  # it is English only because nothing speaks against it
    if (first, second) == ("ko", "en") and ASKS_FOR_CODE_OR_NAMES.search(asked.raw):
        return False
    return not any(map(ASKS_FOR_ANOTHER.search, [asked.raw, *instructions]))


def _spoken(text: Text, main: Language) -> set[str]:
    """Every language a text is partly in: a Korean sentence around an English log is both."""
    found: set[str] = {main}
    if main != "ko" and count(SYLLABLES, text.prose_compact) >= 2:
        found.add("ko")
    if main != "en" and sum(word in ENGLISH for word in text.prose_words) >= 3:
        found.add("en")
    return found
