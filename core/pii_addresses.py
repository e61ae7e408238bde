"""Postal addresses that a rule can find: Korean by road or lot, English by street."""

import re
from collections.abc import Iterator

from core.pii_kinds import Hit, Text
from core.pii_text import by_first_letter

_SIDO = (
    r"(?:서울(?:특별시|시)?|(?:부산|대구|인천|광주|대전|울산)(?:광역시|시)?|세종(?:특별자치시|시)?|경기(?:도)?|강원(?:특별자치도|도)?"
    r"|충청[남북]도|충[남북]|전라[남북]도|전북특별자치도|전[남북]|경상[남북]도|경[남북]|제주(?:특별자치도|도)?)"
)
_DISTRICT = r"[가-힣]{1,5}(?:시|군|구)"
_TOWN = r"[가-힣\d]{1,8}(?:읍|면|동|리|가)"
_NUMBER = r"(?:지하 ?|산 ?)?\d{1,5}(?:-\d{1,5})?"
_ROAD = rf"[가-힣\d·.]{{1,14}}(?:로|길)(?: ?\d{{1,4}}[가나다라]?번?길)? ?{_NUMBER}(?: ?번지)?"
_LOT = rf"[가-힣\d]{{1,8}}(?:동|리|가|읍|면) ?{_NUMBER}(?: ?번지)?"
_FLAT = (
    r"(?:,? ?\([가-힣\d ,.A-Za-z]{2,30}\))?"
    r"(?:,? ?[가-힣A-Za-z\d]{0,15}(?:아파트|빌라|빌딩|오피스텔|맨션|타워|하이츠|팰리스|자이|푸르지오|래미안"
    r"|힐스테이트|아이파크|캐슬))?"
    r"(?:,? ?(?:[A-Za-z\d]{1,4}|[가-힣])동)?(?:,? ?(?:지하 ?)?[Bb]?\d{1,3}층)?(?:,? ?[Bb]?\d{1,5}호)?"
    r"(?:,? ?\([가-힣\d ,.A-Za-z]{2,30}\))?"
)
# The number decides: this is looked for first, and what stands before it only then.
_NUMBERED = re.compile(r"(?:로|길|동|리|가|읍|면) ?(?:지하 ?|산 ?)?\d")
_BEGIN = re.compile(rf"(?<![가-힣])(?:{_SIDO}|{_DISTRICT} )")
_KOREAN = re.compile(
    rf"(?:{_SIDO},? {{0,2}}(?:{_DISTRICT} {{0,2}}){{0,2}}|(?:{_DISTRICT} {{1,2}}){{1,2}})"
    rf"(?:{_TOWN} {{0,2}}){{0,2}}(?:{_ROAD}|{_LOT}){_FLAT}"
)
_NAMED_KOREAN = re.compile(
    rf"(?:주소|배송지|거주지|사는 곳|소재지)[는은이가:\"' ]{{0,4}}({_ROAD}{_FLAT}|{_LOT}{_FLAT})"
)
_REACH = 48
# behind a number that counts something, as in 부산으로 3시간 and 명동 3대 맛집, and no particle behind a house's
_COUNTS = re.compile(
    r"개월|[시월년박명개곳대등평위회층차주분원]|성급|제곱|호선|번(?![지길입이])|인(?:[분용승실]| 가족| 가구)"
    r"|일(?![까지거텐걸수])(?! [거것겁수텐때듯걸])"
)
_DEGREES, _DISTRICTED = re.compile(r"도(?![가-힣])|도(?:까지|[가로이인였])"), re.compile("[군읍면] |(?<!대)구 ")
_THERE = re.compile(rf"{_SIDO}(?: ?[가-힣]{{0,6}}으로|도로|로) ?[\d-]+")
_NAME = re.compile("[주배거사소](?:(?<=주)소|송지|주지|는 곳|재지)")

_TYPE = (
    r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Way|Place|Pl|Terrace|Ter|Square|Sq|Parkway|Pkwy"
    r"|Highway|Hwy|Circle|Cir|Close|Crescent|Gardens|Mews|Row|Trail|Alley)"
)
_TAIL = (
    r"(?P<tail>(?:,? +(?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|Fl|Room|Rm)\.? ?#?\w{1,6}|,? *#\w{1,6})?"
    r"(?:,\s{0,2}[A-Z][A-Za-z.' ]{1,30}?(?=,| [A-Z]{2} \d|\n|\.|$))?"
    r"(?:,?\s{0,2}[A-Z]{2},? \d{5}(?:-\d{4})?|,?\s{0,2}[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2})?)"
)
_STREET = re.compile(
    r"\d(?<![\w.\-]\d)\d{0,5}(?:-\d{1,4})?[A-Za-z]? (?:(?:N|S|E|W|NE|NW|SE|SW|North|South|East|West)\.? )?"
    rf"(?:(?:[A-Z][A-Za-z'\-]{{1,20}}|\d{{1,3}}(?:st|nd|rd|th)|St\.) ){{1,4}}{_TYPE}(?![A-Za-z])\.?{_TAIL}"
)
_LOWER = re.compile(
    r"(?:live at|lives at|living at|address(?: is|:)?|(?:ship|deliver|mail|send) (?:it )?to|located at)\s{1,2}"
    rf"(\d{{1,6}} (?:[a-z0-9']{{1,20}} ){{1,3}}{_TYPE.lower()}(?![a-z])\.?"
    r"(?:,? (?:apt|apartment|suite|unit|flat)\.? ?#?\w{1,6})?)"
)
# a year, or what everybody knows: somebody's only with a flat, a town or a postcode behind it
_YEAR = re.compile(r"(?:1[89]|20)\d\d ")
_KNOWN = re.compile(r"(?:Google Drive|(?:Wall|Sesame) Street|(?:Times|Tiananmen|Trafalgar|Red) Square|Abbey Road)$")
_AT = re.compile(r"(?<![A-Za-z])(?:at|address:?|address is) $", re.IGNORECASE)
# its number, and a space before the name of the street
_HOUSE = re.compile(r"[0-9](?<![\w.\-].)[0-9]{0,5}(?:-[0-9]{1,4})?[A-Za-z]? (?=[A-Za-z0-9'])")
_STREET_HINT = re.compile(rf" (?:{by_first_letter(_TYPE[3:-1].lower().split('|'))})(?![a-z])")
_BOX = re.compile(r"(?<![A-Za-z])P\.? ?O\.? Box \d{1,7}", re.IGNORECASE)


def korean_addresses(text: Text) -> list[Hit]:
    plain = text.plain
    if not _NUMBERED.search(plain):
        return []
    hits = list(_by_road_or_lot(plain))
    if _NAME.search(plain):
        hits.extend(Hit("address", *match.span(1), True, 19) for match in _NAMED_KOREAN.finditer(plain))
    return hits


def english_addresses(text: Text) -> list[Hit]:
    hits: list[Hit] = []
    if _STREET_HINT.search(text.lower) and _names_a_street_behind_a_number(text):
        houses = (match for match in _STREET.finditer(text.plain) if _is_house(match))
        hits.extend(Hit("address", *match.span(), True, 18) for match in houses)
        hits.extend(Hit("address", *match.span(1), False, 19) for match in _LOWER.finditer(text.lower))
    if "x" in text.lower and "box" in text.lower:
        hits.extend(Hit("address", *match.span(), True, 18) for match in _BOX.finditer(text.plain))
    return hits


def _names_a_street_behind_a_number(text: Text) -> bool:
    house = _HOUSE.search(text.plain)
    return bool(house and _STREET_HINT.search(text.lower, house.start()))


def _by_road_or_lot(plain: str) -> Iterator[Hit]:
    """Each numbered road or lot, with the town and province before it."""
    reached = 0
    for number in _NUMBERED.finditer(plain):
        for begin in _BEGIN.finditer(plain, max(reached, number.start() - _REACH), number.start()):
            match = _KOREAN.match(plain, begin.start())
            if match and match.end() > number.start() and not _counts(match):
                yield Hit("address", *match.span(), True, 18)
                reached = match.end()
                break


def _counts(address: re.Match[str]) -> bool:
    """Whether its number is no house's: it counts what stands behind it, or somebody goes there."""
    plain, (start, end) = address.string, address.span()
    if not plain[end - 1].isdecimal():
        return False
    if _COUNTS.match(plain, end) or _THERE.fullmatch(plain, start, end):
        return True
    return bool(_DEGREES.match(plain, end)) and not _DISTRICTED.search(plain, start, end)


def _is_house(street: re.Match[str]) -> bool:
    if street["tail"]:
        return True
    if _KNOWN.search(street[0].rstrip(".")):
        return False
    start = street.start()
    return not _YEAR.match(street[0]) or bool(_AT.search(street.string, max(0, start - 12), start))
