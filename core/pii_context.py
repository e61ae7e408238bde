"""Words around a number that say what it is."""

import re
from dataclasses import dataclass

from core.pii_kinds import Text


@dataclass(frozen=True)
class Words:
    """Words that name a kind, looked for within `before` and `after` characters; they stand in lower case."""

    pattern: re.Pattern[str]
    before: int
    after: int = 0

    def around(self, text: Text, start: int, end: int) -> bool:
        found = self.pattern.search(text.lower, max(0, start - self.before), start)
        return bool(found or (self.after and self.pattern.search(text.lower, end, end + self.after)))

    def anywhere(self, text: Text) -> bool:
        return bool(self.pattern.search(text.lower))


def words(pattern: str, before: int, after: int = 0) -> Words:
    return Words(re.compile(pattern), before, after)


RESIDENT = words(r"주민|민증|외국인\s?등록|등록\s?증|resident|\brrn\b|alien|foreigner", 30)
CORPORATE = words(r"법인\s?(?:등록)?\s?번호|corporate registration", 20)
LICENCE = words(r"운전|면허|driver|driving|licen[cs]e|\bdl\b", 40, 15)
PASSPORT = words(r"여권|passport|패스포트", 40, 15)
SOCIAL = words(r"social security|\bssn\b|사회보장", 30)
CARD = words(r"카드|card|visa|master|amex|결제|payment|\bpan\b|비자", 30)
BUSINESS = words(r"사업자|business (?:registration|reg|number|no)|\bbrn\b|biz[_ ]?(?:reg|no)|세금계산서|등록번호", 30)
PHONE = words(
    r"전화|연락|휴대|핸드폰|폰\s?번호|팩스|번호로|phone|\btel\b|mobile|\bcell|whatsapp|\bfax\b|\bdial\b|카톡|문자"
    r"|call\s+(?:me|us|him|her|them)|(?:reach|text|ring)\s+(?:me|us|him|her)|contact(?: number)?|hotline",
    24,
    8,
)
BANK = words(
    r"계좌|예금주|입금|송금|이체|은행|뱅크|새마을금고|우체국|통장|환불"
    r"|\b(?:bank|account|acct|a/c|iban|deposit)\b|account_?(?:no|num)|bank_",
    32,
    14,
)
# names of banks that are words of their own: they count right before the number only
BANK_NAME = words(
    r"(?:국민|kb|신한|우리|하나|keb|기업|ibk|농협|nh|신협|수협|토스|카카오|카뱅|케뱅|sc제일|제일|씨티|산업|kdb|부산|대구|im"
    r"|광주|전북|경남|제주|새마을|우정|chase|hsbc|citi|barclays|wells fargo)\s?[:은는]?\s?$",
    14,
)
# what names another number, right before it
ORDER = words(
    r"(?:주문|송장|운송장|택배|배송|등기|예약|접수|상품|제품|모델|품번|일련|바코드|시리얼|타임스탬프|버전|코드|번역"
    r"|order|invoice|tracking|parcel|booking|reservation|ticket|product|model|serial|sku|barcode|\bean\b|\bupc\b|isbn"
    r"|timestamp|\bts\b|\btime|epoch|version|build|commit|reference|case|imei|\bpart|item|uid|\blog|trace|request"
    r"|_at|_ts|_ms)"
    r"[ _]?(?:no|num|number|id|code|key|ref|번호|코드)?"
    r"[.\"'`)]{0,2}\s{0,2}(?:[:=#|,]|is|was|은|는|이|가)?\s{0,2}[\"'`#(|]?\s?$",
    32,
)
VERSION = words(
    r"\bv(?:er(?:sion)?)?\.?\s?$|버전|version|release|build|firmware|펌웨어|릴리스|section|chapter|==|>=|\bversion", 14
)
