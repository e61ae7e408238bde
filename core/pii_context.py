"""Words around a number that say what it is: the nearest one counts."""

import re

from core.pii_kinds import Text

# Group | the words that name this kind, in lower case; Korean ones in groups with a 1. Where none can begin, which is
# nearly everywhere, the first letter says so at once: Latin words begin after no letter, so a smartphone names nothing.
_NAME = (
    r"(?=[주민외등법운면여패사카결세전연휴핸폰팩번문계예입송이은뱅새우통환메비a-fhilmprstvw](?<![a-z][a-z]))(?:(?=[가-힣])(?:"
    r"(?P<rrn1>주민|민증|외국인\s?등록|등록\s?증)|(?P<corporate1>법인\s?(?:등록)?\s?번호)|(?P<driver_licence1>운전|면허)"
    r"|(?P<passport1>여권|패스포트)|(?P<ssn1>사회보장)|(?P<card1>카드|결제)|(?P<business_number1>사업자|세금계산서)"
    r"|(?P<phone1>전화|연락|휴대|핸드폰|폰\s?번호|팩스|번호로|카톡|문자)"
    r"|(?P<bank_account1>계좌|예금주|입금|송금|이체|은행|뱅크|새마을금고|우체국|통장|환불)|(?P<other1>메일|주소|비밀번호))"
    r"|(?:(?P<rrn>resident|\brrn\b|\balien|foreigner|\barc\b)|(?P<corporate>corporate registration)"
    r"|(?P<driver_licence>driver|driving|licen[cs]e|\bdl\b)|(?P<passport>passport)|(?P<ssn>social|\bssn\b)"
    r"|(?P<card>(?:master|credit|debit)?card|visa|amex|payment|charge)"
    r"|(?P<business_number>business[ _](?:registration|reg|number|no)|\bbrn\b)"
    r"|(?P<phone>phone|\btel\b|mobile|\bcell\b|whatsapp|\bfax\b|\bdial\b|call\s+(?:me|us|him|her|them)"
    r"|(?:reach|text|ring)\s+(?:me|us|him|her)|contact|hotline)"
    r"|(?P<bank_account>\b(?:bank|account|acct|a/c|iban|deposit)\b|account_?(?:no|num)|bank_)"
    r"|(?P<other>e-?mail|address|api[_ ]?key|\bip\b|password)))"
)
_FIRST, _LAST = re.compile(_NAME), re.compile(rf"(?s:.*){_NAME}")  # .* goes to the end and looks back from there
_BEFORE, _AFTER = 36, 14
_USED = 6  # digits between a name and a number: the name was for those
_ENDED = re.compile(r"(?:[?!]|[가-힣]\.|[a-z]{4}\.)\s|[요다죠까줘.]\s*\n")
# names of banks that are words of their own: they count right before the number only
_BANK_NAME = re.compile(
    r"(?=[국신우하기농수토카케제씨산부대광전경새kinscbhw])(?:국민|kb|신한|우리|하나|keb|기업|ibk|농협|nh|신협|수협|토스|카카오|카뱅|케뱅|sc제일|제일|씨티|산업|kdb|부산|대구|im"
    r"|광주|전북|경남|제주|새마을|우정|chase|hsbc|citi|barclays|wells fargo)\s?[:은는]?\s?$"
)
# what names another number, right before it
_ANOTHER = re.compile(
    r"(?=[주송운택배등예접상제모품일바시타버코학사로_]|[bceilmoprstuv](?<![a-z].))(?:주문|송장|운송장|택배|배송|등기|예약|접수|상품|제품|모델명?|품번|일련|바코드|시리얼|타임스탬프|버전|코드|학번|사번|로또"
    r"|student|order|invoice|tracking|parcel|booking|reservation|ticket|product|model|serial|sku|barcode|\bean\b|\bupc\b|isbn"
    r"|timestamp|\bts\b|\btime|epoch|version|build|commit|reference|case|imei|\bpart|item|uid|\blog|trace|request"
    r"|_at|_ts|_ms)"
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


def name_of(text: Text, start: int, end: int) -> str:
    """The kind that the nearest word names: before the number, else after it in its line; empty without any."""
    known = text.names.get((start, end))
    if known is None:
        known = text.names[start, end] = name_before(text.lower, start) or _name_after(text.lower, end)
    return known


def name_before(lower: str, start: int) -> str:
    """Empty where another number or an e-mail stands between, which the name was for, or where its sentence ended."""
    name = _LAST.match(lower, start - _BEFORE, start)
    if not name:
        return ""
    between = lower[name.end() : start]
    if len(between) >= _USED and (sum(map(str.isdigit, between)) >= _USED or _ENDED.search(between)):
        return ""
    return "" if "@" in between else _kind(name)


def _name_after(lower: str, end: int) -> str:
    line = lower.find("\n", end, end + _AFTER)
    name = _FIRST.search(lower, end, line if line >= 0 else end + _AFTER)
    return _kind(name) if name else ""


def _kind(name: re.Match[str]) -> str:
    return (name.lastgroup or "").rstrip("1")


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
    return another or bool(_DATE.match(text.plain, start, end))


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
