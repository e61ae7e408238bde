"""Invented personal values in the ways people type them, and what only looks like some; seeded, nobody's."""

import string
from collections.abc import Sequence
from random import Random

HEX = "0123456789abcdef"
BASE62 = string.ascii_letters + string.digits
URLSAFE = BASE62 + "-_"
NAMES = (
    "minsu",
    "jiwon",
    "seoyeon",
    "hyunwoo",
    "kim.jh",
    "lee_sy",
    "park-dh",
    "john",
    "emma.brown",
    "o.garcia",
    "dev+test",
)
MAIL_HOSTS = (
    "naver.com",
    "gmail.com",
    "daum.net",
    "kakao.com",
    "hanmail.net",
    "outlook.com",
    "snu.ac.kr",
    "shop.co.kr",
    "proton.me",
    "company.io",
    "mail.example.org",
    "yahoo.co.uk",
)
CITIES = (
    ("서울특별시", ("강남구", "마포구", "송파구", "종로구")),
    ("서울", ("서초구", "관악구", "은평구")),
    ("경기도", ("성남시 분당구", "수원시 영통구", "고양시 일산동구")),
    ("부산광역시", ("해운대구", "수영구")),
    ("부산", ("사하구",)),
    ("대전", ("유성구",)),
    ("인천광역시", ("연수구",)),
    ("강원특별자치도", ("춘천시",)),
    ("충남", ("천안시 서북구",)),
    ("제주특별자치도", ("제주시",)),
)
ROADS = (
    "테헤란로",
    "판교역로",
    "월드컵북로",
    "올림픽로",
    "세종대로",
    "동백중앙로16번길",
    "대학로",
    "중앙로",
    "은평로3길",
    "해운대해변로",
)
DONGS = ("역삼동", "상암동", "우동", "정자동", "신림동", "궁동", "송도동", "연남동")
STREETS = (
    "Main Street",
    "Oak Avenue",
    "Maple Dr",
    "Elm St",
    "Sunset Blvd",
    "Park Avenue",
    "Highland Road",
    "2nd Street",
    "Martin Luther King Blvd",
    "Cherry Lane",
    "Baker Street",
    "Queens Road",
)
TOWNS = (
    "Springfield, IL 62704",
    "Austin, TX 78701",
    "Portland, OR 97205",
    "Boston, MA 02108",
    "Seattle, WA 98101-1234",
)

FULL_WIDTH = {ord(c): chr(ord(c) - 0x20 + 0xFF00) for c in string.digits + string.ascii_letters + "-@."}
DASHES = ("-", "-", "-", "-", "\u2013", "\u2010", "\u2212", "\uff0d", "ㅡ", "\u2011")
GAPS = (" - ", "- ", " -")


def digits(rng: Random, count: int) -> str:
    return "".join(rng.choices(string.digits, k=count))


def letters(rng: Random, count: int, of: str = BASE62) -> str:
    return "".join(rng.choices(of, k=count))


def _written(rng: Random, groups: Sequence[str], *, bare: float = 0.2, spaced: float = 0.12) -> str:
    """Groups of a number as somebody types them: with hyphens mostly, else bare, with spaces, or another dash."""
    roll = rng.random()
    if roll < bare:
        text = "".join(groups)
    elif roll < bare + spaced:
        text = " ".join(groups)
    elif roll < bare + spaced + 0.08:
        text = rng.choice(GAPS).join(groups)
    else:
        text = rng.choice(DASHES).join(groups)
    roll = rng.random()
    if roll < 0.06:
        return text.translate(FULL_WIDTH)
    if roll < 0.09:
        return text.replace(" ", "\u00a0")
    if roll < 0.11:
        return text[:4] + "\u200b" + text[4:]
    return text


def _birthday(rng: Random) -> tuple[str, int]:
    year, month = rng.randint(1940, 2012), rng.randint(1, 12)
    return f"{year % 100:02d}{month:02d}{rng.randint(1, 28 if month == 2 else 30):02d}", year


def _registered(rng: Random, first: Sequence[str], base: int) -> str:
    """Half with the check digit of before October 2020, half random behind the first digit, as they are now."""
    birthday, year = _birthday(rng)
    front = birthday + first[2 * (year >= 2000) + rng.randint(0, 1)]
    back = digits(rng, 5)
    weights = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)
    total = sum(weight * int(digit) for weight, digit in zip(weights, front + back, strict=True))
    last = str((base - total % 11) % 10) if rng.random() < 0.5 else digits(rng, 1)
    if rng.random() < 0.12:
        return f"{birthday}-{front[6]}{rng.choice(('*', '*', 'X', '●')) * 6}"
    return _written(rng, [birthday, front[6] + back + last])


def rrn(rng: Random) -> str:
    return _registered(rng, "1234", 11)


def frn(rng: Random) -> str:
    return _registered(rng, "5678", 13)


def driver_licence(rng: Random) -> str:
    region = rng.choice(("11", "12", "13", "15", "17", "21", "24", "26", "28"))
    return _written(rng, [region, digits(rng, 2), digits(rng, 6), digits(rng, 2)], bare=0, spaced=0)


def named_driver_licence(rng: Random) -> str:
    """As it stands where the words say what it is."""
    region = rng.choice(("11", "14", "16", "19", "22", "25"))
    return _written(rng, [region, digits(rng, 2), digits(rng, 6), digits(rng, 2)], bare=0.4, spaced=0.3)


def passport(rng: Random) -> str:
    kind = rng.choice("MMMMSRD")
    new = f"{kind}{digits(rng, 3)}{rng.choice(string.ascii_uppercase)}{digits(rng, 4)}"
    written = rng.choice((new, new, f"{kind}{digits(rng, 8)}"))
    return rng.choice((written, written, written, written.lower(), written.translate(FULL_WIDTH)))


def card(rng: Random) -> str:
    prefix, length = rng.choice(
        (
            ("4", 16),
            ("4", 16),
            ("51", 16),
            ("55", 16),
            ("2221", 16),
            ("34", 15),
            ("37", 15),
            ("36", 14),
            ("3530", 16),
            ("6250", 16),
            ("6011", 16),
            ("9410", 16),
        )
    )
    body = prefix + digits(rng, length - len(prefix) - 1)
    doubled = "".join(str(2 * int(d)) if i % 2 == 0 else d for i, d in enumerate(reversed(body)))
    number = body + str(-sum(int(d) for d in doubled) % 10)
    # of a product over nine both digits count, which is what `doubled` has side by side
    if length == 15:
        return _written(rng, [number[:4], number[4:10], number[10:]], bare=0.3, spaced=0.4)
    if length == 14:
        return _written(rng, [number[:4], number[4:10], number[10:]], bare=0.4, spaced=0.4)
    return _written(rng, [number[i : i + 4] for i in range(0, 16, 4)], bare=0.3, spaced=0.3)


def ssn(rng: Random) -> str:
    area = rng.choice((f"{rng.randint(1, 665):03d}", f"{rng.randint(667, 899)}"))
    return f"{area}-{rng.randint(1, 99):02d}-{rng.randint(1, 9999):04d}"


def business_number(rng: Random) -> str:
    body = digits(rng, 3) + f"{rng.randint(1, 99):02d}" + digits(rng, 4)
    keys = (1, 3, 7, 1, 3, 7, 1, 3, 5)
    total = sum(int(digit) * key for digit, key in zip(body, keys, strict=True)) + int(body[8]) * 5 // 10
    number = body + str(-total % 10)
    return _written(rng, [number[:3], number[3:5], number[5:]], bare=0, spaced=0)


def named_business_number(rng: Random) -> str:
    return "".join(c for c in business_number(rng) if c.isalnum()) if rng.random() < 0.4 else business_number(rng)


def korean_phone(rng: Random) -> str:
    mobile = [rng.choice(("010", "010", "010", "010", "011", "016")), digits(rng, 4), digits(rng, 4)]
    far = [
        rng.choice(("031", "032", "051", "053", "042", "064", "070")),
        digits(rng, rng.choice((3, 4))),
        digits(rng, 4),
    ]
    capital, virtual = (
        ["02", digits(rng, rng.choice((3, 4))), digits(rng, 4)],
        ["0507", f"1{digits(rng, 3)}", digits(rng, 4)],
    )
    roll = rng.random()
    if roll < 0.5:
        return _written(rng, mobile, bare=0.25, spaced=0.15)
    if roll < 0.58:
        return ".".join(mobile)
    if roll < 0.72:
        country = rng.choice(("+82-", "+82 ", "+82", "82-", "+82 (0)"))
        return country + rng.choice(("-", " ")).join([mobile[0][1:], *mobile[1:]])
    if roll < 0.76:
        return rng.choice(("+82-", "+82 ")) + "-".join([rng.choice((capital, far))[0][1:], *capital[1:]])
    if roll < 0.82:
        return rng.choice(("({}) {}-{}", "({}){}-{}", "{}){}-{}")).format(*rng.choice((capital, far)))
    return _written(rng, rng.choice((capital, far, far, virtual)), bare=0.05, spaced=0.05)


def english_phone(rng: Random) -> str:
    area, middle, last = str(rng.randint(201, 989)), str(rng.randint(200, 999)), digits(rng, 4)
    return rng.choice(
        (
            f"({area}) {middle}-{last}",
            f"{area}-{middle}-{last}",
            f"{area}.{middle}.{last}",
            f"+1 {area} {middle} {last}",
            f"+1-{area}-{middle}-{last}",
            f"+1 ({area}) {middle}-{last}",
            f"1-{area}-{middle}-{last}",
            f"+1{area}{middle}{last}",
            f"+44 20 {digits(rng, 4)} {last}",
            f"+44 7{digits(rng, 3)} {digits(rng, 6)}",
            f"07{digits(rng, 3)} {digits(rng, 6)}",
            f"020 {digits(rng, 4)} {last}",
            f"+49 30 {digits(rng, 6)}",
            f"+81 90-{digits(rng, 4)}-{last}",
            f"+86 138 {digits(rng, 4)} {last}",
            f"+61 2 {digits(rng, 4)} {last}",
            f"+33 1 42 68 {digits(rng, 2)} {digits(rng, 2)}",
        )
    )


def named_phone(rng: Random) -> str:
    """Ten digits in a row, as English speakers give a number that was asked for."""
    return f"{rng.randint(201, 989)}{rng.randint(200, 999)}{digits(rng, 4)}"


def email(rng: Random) -> str:
    name = rng.choice((f"{rng.choice(NAMES)}{digits(rng, rng.randint(0, 4))}", letters(rng, 8, string.ascii_lowercase)))
    address = f"{name}@{rng.choice(MAIL_HOSTS)}"
    roll = rng.random()
    if roll < 0.04:
        return address.translate({ord("@"): "＠"})
    if roll < 0.08:
        return address.upper()
    if roll < 0.1:
        return address.replace("@", rng.choice(("(at)", "[at]")))
    return address


def korean_account(rng: Random) -> str:
    shape = rng.choice(((6, 2, 6), (3, 3, 6), (4, 3, 6), (3, 6, 5), (3, 4, 4, 2), (4, 2, 7), (4, 4, 4), (3, 6, 2, 3)))
    groups = [digits(rng, count) for count in shape]
    groups[0] = rng.choice("123") + groups[0][1:]
    return _written(rng, groups, bare=0.3, spaced=0.05)


def english_account(rng: Random) -> str:
    return digits(rng, rng.choice((9, 10, 12)))


def iban(rng: Random) -> str:
    country, body = rng.choice(
        (
            ("GB", letters(rng, 4, string.ascii_uppercase) + digits(rng, 14)),
            ("DE", digits(rng, 18)),
            ("FR", digits(rng, 23)),
        )
    )
    number = "".join(str(int(c, 36)) for c in body + country + "00")
    whole = f"{country}{98 - int(number) % 97:02d}{body}"
    return rng.choice((whole, " ".join(whole[i : i + 4] for i in range(0, len(whole), 4))))


def ip_address(rng: Random) -> str:
    roll = rng.random()
    if roll < 0.7:
        first = rng.choice((10, 172, 192, 203, 8, 121, 58, 211))
        return f"{first}.{rng.randint(0, 255)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}"
    groups = [f"{rng.randint(0x100, 0xFFFF):x}" for _ in range(8)]
    if roll < 0.85:
        return ":".join(["2001", *groups[1:]])
    return f"{rng.choice(('fe80', '2001:db8', '2406:5900'))}::{groups[0]}:{groups[1]}"


def secret(rng: Random) -> str:
    segment = letters(rng, 40, URLSAFE)
    return rng.choice(
        (
            f"sk-{letters(rng, 48)}",
            f"sk-proj-{letters(rng, 60, URLSAFE)}",
            f"sk-ant-api03-{letters(rng, 40, URLSAFE)}",
            f"ghp_{letters(rng, 36)}",
            f"github_pat_{letters(rng, 22)}_{letters(rng, 59)}",
            f"glpat-{letters(rng, 20, URLSAFE)}",
            f"AKIA{letters(rng, 16, string.ascii_uppercase + '234567')}",
            f"xoxb-{digits(rng, 11)}-{digits(rng, 12)}-{letters(rng, 24)}",
            f"hf_{letters(rng, 34)}",
            f"AIza{letters(rng, 35, URLSAFE)}",
            f"sk_live_{letters(rng, 24)}",
            f"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ{segment}.{letters(rng, 43)}",
            private_key(rng),
        )
    )


def private_key(rng: Random) -> str:
    kind = rng.choice(("RSA ", "", "EC ", "OPENSSH "))
    body = "\n".join(letters(rng, 64, BASE62 + "+/") for _ in range(rng.randint(2, 6)))
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----"


def named_secret(rng: Random) -> str:
    """No form of its own: the name before it says what it is."""
    return rng.choice((letters(rng, 32, HEX), letters(rng, 40), letters(rng, 24), letters(rng, 40, BASE62 + "+/")))


def password(rng: Random) -> str:
    word = rng.choice(("qwer", "hunter", "Summer", "admin", "love", "Tiger", "korea"))
    return f"{word}{digits(rng, rng.randint(2, 4))}{rng.choice(('', '!', '@', '#'))}"


def korean_address(rng: Random) -> str:
    province, districts = rng.choice(CITIES)
    where = f"{province} {rng.choice(districts)}"
    road = f"{where} {rng.choice(ROADS)} {rng.randint(1, 400)}" + rng.choice(("", "", f"-{rng.randint(1, 30)}"))
    lot = f"{where} {rng.choice(DONGS)} {rng.randint(1, 1400)}-{rng.randint(1, 99)}" + rng.choice(("", "번지"))
    flat = rng.choice(("", "", f" {rng.randint(1, 30)}층", f", {rng.randint(101, 130)}동 {rng.randint(101, 2500)}호"))
    return rng.choice((road, road, lot)) + flat


def english_address(rng: Random) -> str:
    line = f"{rng.randint(1, 9999)} {rng.choice(STREETS)}"
    flat = rng.choice(("", "", f", Apt {rng.randint(1, 40)}{rng.choice('ABCD')}", f", Suite {rng.randint(100, 900)}"))
    return line + flat + rng.choice(("", f", {rng.choice(TOWNS)}"))
