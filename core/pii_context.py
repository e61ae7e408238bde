"""What stands around a number and makes it more or less likely to be somebody's."""

import re

from core.pii_kinds import Text
from core.pii_text import by_first_letter

_BEFORE, _AFTER = 36, 14
# names of banks that are words of their own: they count right before the number only
_BANKS = (
    "국민 kb 신한 우리 하나 keb 기업 ibk 농협 nh 신협 수협 토스 카카오 카뱅 케뱅 sc제일 제일 씨티 산업 kdb 부산 대구 im"
    " 광주 전북 경남 제주 새마을 우정 chase hsbc citi barclays"
)
_BANK_NAME = re.compile(rf"(?:{by_first_letter([*_BANKS.split(), 'wells fargo'])})\s?[:은는]?\s?$")
# what names another number, right before it
_OTHERS_IN_KOREAN = (
    *("주문", "송장", "운송장", "택배", "배송", "등기", "예약", "접수", "상품", "제품", "모델명?", "품번", "일련"),
    *("바코드", "시리얼", "타임스탬프", "버전", "코드", "학번", "사번", "로또"),
)
_OTHERS_IN_LATIN = (
    r"student order invoice tracking parcel booking reservation ticket product model serial sku barcode \bean\b \bupc\b"
    r" isbn timestamp \bts\b \btime epoch version build commit reference case imei \bpart item uid \blog trace request"
)
_ANOTHER = re.compile(
    rf"(?:{by_first_letter(_OTHERS_IN_KOREAN)}|{by_first_letter(_OTHERS_IN_LATIN.split(), '(?<![a-z].)')}"
    r"|_(?:at|ts|ms))"
    r"[ _]?(?:no|num|number|id|code|key|ref|번호|코드)?"
    r"[.\"'`)]{0,2}\s{0,2}(?:[:=#|,]|is|was|은|는|이|가)?\s{0,2}[\"'`#(|]?\s?$"
)
# What may stand between these words and the number, and the letters they end with: most numbers have another letter
# there, and to look at it costs far less than the search.
_SPACES = "".join(filter(str.isspace, map(chr, range(0x3001))))
_BEHIND_BANK, _BANK_ENDS = f"{_SPACES}:은는", frozenset("bcehikmops구나남리민뱅북산스업오을일정주티한협")
_BEHIND_ANOTHER = f"{_SPACES}.\"'`)(|:=#,은는이가"
_ANOTHER_ENDS = frozenset("cdefghilmnoprstuy기델드또련명문배번송수약얼장전품프호")
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_DATE = re.compile(
    r"(?:19|20)\d{2} ?[-~] ?(?:19|20)\d{2}$|"
    rf"(?:19|20)\d{{2}}([-./ ])(?:0?[1-9]|1[0-2])\1{_DAY}(?!\d)"
    r"|(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[ _-]?\d{4,6})?$"
)
_GLUE_BEFORE = re.compile(r".?[A-Za-z_]$|\d[.,]$", re.DOTALL)
_GLUE_AFTER = re.compile(r"[A-Za-z_]")
_COUNTED = ("원", "%", "개", "명")
_MODEL = re.compile(r"\s?(?:모델|제품|model)")
PASSPORT = re.compile(r"여권|passport|패스포트")
_VERSION = re.compile(
    r"\bv(?:er(?:sion)?)?\.?\s?$|[a-z]/$|버전|version|release|build|firmware|펌웨어|릴리스|section|chapter|==|>="
)


def is_near(text: Text, words: re.Pattern[str], start: int, end: int) -> bool:
    """Whether one of the words stands before the number or after it, whatever else does."""
    return bool(words.search(text.lower, max(0, start - _BEFORE), start) or words.search(text.lower, end, end + _AFTER))


def is_bank_name(text: Text, end: int) -> bool:
    """Whether the name of a bank stands right before `end`."""
    last_letter = text.lower[max(0, end - 4) : end].rstrip(_BEHIND_BANK)[-1:]
    return last_letter in _BANK_ENDS and bool(_BANK_NAME.search(text.lower, end - 14, end))


def is_another(text: Text, start: int) -> bool:
    """Whether the number at `start` is named right before it, as something that is no personal data."""
    last_letter = text.lower[max(0, start - 14) : start].rstrip(_BEHIND_ANOTHER)[-1:]
    return last_letter in _ANOTHER_ENDS and bool(_ANOTHER.search(text.lower, start - 32, start))


def is_else(text: Text, start: int, end: int) -> bool:
    """Whether this is a date, an amount, a part of something or the number of another thing."""
    another = is_another(text, start) or is_glued(text, start, end) or is_amount(text, end)
    return another or is_date(text, start, end)


def is_date(text: Text, start: int, end: int) -> bool:
    return bool(_DATE.match(text.plain, start, end))


def is_amount(text: Text, end: int) -> bool:
    return text.plain[end : end + 2].lstrip()[:1] in _COUNTED


def is_glued(text: Text, start: int, end: int) -> bool:
    """To a letter or a digit with a point: part of a model number, a name in code, or a fraction."""
    return bool(_GLUE_BEFORE.match(text.plain, start - 2, start) or _GLUE_AFTER.match(text.plain, end))


def is_model(text: Text, end: int) -> bool:
    """Whether what ends here is called a model."""
    return bool(_MODEL.match(text.lower, end))


def is_version(text: Text, start: int) -> bool:
    return bool(_VERSION.search(text.lower, max(0, start - 14), start))
