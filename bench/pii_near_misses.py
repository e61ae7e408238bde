"""What is no personal data and looks like some: orders, parcels, moments, versions, prices, models, code."""

import string
from collections.abc import Callable, Mapping
from random import Random

from bench.pii_values import HEX, NAMES, digits, letters


def _uuid(rng: Random) -> str:
    return "-".join(letters(rng, count, HEX) for count in (8, 4, 4, 4, 12))


def _date(rng: Random) -> str:
    year, month, day = rng.randint(1990, 2027), rng.randint(1, 12), rng.randint(1, 28)
    return rng.choice(
        (
            f"{year}-{month:02d}-{day:02d}",
            f"{year}.{month}.{day}",
            f"{year}{month:02d}{day:02d}",
            f"{year}년 {month}월 {day}일",
            f"{month}/{day}/{year}",
        )
    )


def _moment(rng: Random) -> str:
    clock = f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}:{rng.randint(0, 59):02d}"
    return rng.choice(
        (f"2026-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d} {clock}", f"2025-03-01T{clock}.{digits(rng, 3)}Z")
    )


def _isbn(rng: Random) -> str:
    body = "978" + digits(rng, 9)
    last = str(-sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(body)) % 10)
    return rng.choice((body + last, f"{body[:3]}-{body[3]}-{body[4:7]}-{body[7:]}-{last}"))


def _order(rng: Random) -> str:
    parts = "-".join(digits(rng, 4) for _ in range(3))
    named = f"ORD-{digits(rng, 8)}-{digits(rng, 6)}"
    return rng.choice((f"2026{digits(rng, 10)}", digits(rng, 13), digits(rng, 16), named, parts))


def _parcel(rng: Random) -> str:
    return rng.choice(
        (digits(rng, 12), digits(rng, 13), f"1Z{letters(rng, 16, string.ascii_uppercase + string.digits)}")
    )


def _timestamp(rng: Random) -> str:
    seconds = rng.randint(1_500_000_000, 1_800_000_000)
    return rng.choice((str(seconds), f"{seconds}{digits(rng, 3)}"))


def _version(rng: Random) -> str:
    minor = ".".join(str(rng.randint(0, 9)) for _ in range(3))
    windows = f"10.0.{rng.randint(10000, 22631)}.{rng.randint(1, 5000)}"
    return rng.choice(
        (f"{rng.randint(1, 20)}.{rng.randint(0, 20)}.{rng.randint(0, 99)}", windows, f"{rng.randint(1, 9)}.{minor}")
    )


def _price(rng: Random) -> str:
    thousands = f"{rng.randint(1, 999)},{digits(rng, 3)}"
    return rng.choice(
        (f"{thousands},{digits(rng, 3)}원", f"${thousands}.{digits(rng, 2)}", f"₩{rng.randint(10, 99)}0,000")
    )


def _model(rng: Random) -> str:
    maker = letters(rng, 3, string.ascii_uppercase)
    like_a_passport = f"M{digits(rng, 3)}A{digits(rng, 4)}"
    return rng.choice(
        (
            f"SM-G{digits(rng, 3)}N",
            f"RTX{digits(rng, 4)}",
            f"A{digits(rng, 4)}",
            like_a_passport,
            f"{maker}{digits(rng, 9)}",
        )
    )


def _number(rng: Random) -> str:
    share = f"{digits(rng, 2)}.{digits(rng, 2)}%"
    return rng.choice((f"3.{digits(rng, 15)}", str(rng.randint(1, 10**6)), share, f"1e-{rng.randint(1, 9)}"))


def _lottery(rng: Random) -> str:
    return " ".join(str(number) for number in sorted(rng.sample(range(1, 46), 6)))


def _clock(rng: Random) -> str:
    return "~".join(f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}" for _ in range(2))


def _code(rng: Random) -> str:
    return rng.choice(CODE)


CODE = (
    "std::vector<int> a1",
    "api_key = os.getenv('OPENAI_API_KEY')",
    "token = tokenizer.next_token_2()",
    "max_tokens=4096",
    "password: str = Field(min_length=8)",
    "@app.get('/v1/items/{id}')",
    "git@github.com:org/repo.git",
    "x[1:10:2]",
    "127.0.0.1:8000",
    "secret = config.get('secret_1')",
)
EVERYDAY = (
    "서울에서 부산으로 3시간", "대전으로 2시간", "강원도로 3월에", "경기도로 2년 전", "서울 홍대로 7시까지",
    "서울 가면 2시", "대구 날씨로 3도", "경기 결과로 2등", "서울 명동 3대 맛집", "제주도 애월읍 3일 코스",
    "수원시 팔달구 행궁동 2025년 축제", "The 1929 Wall Street Crash", "1989 Tiananmen Square",
    "I have 2 Google Drive accounts", "top 5 Wall Street Journal", "제주 2026-12-24 숙소",
    "부산 2026-05-03 출발", "광주 1980-05-18 사건", "우리 2025-2026 시즌", "하나 1000 2000",
    "중소기업 20240101 이후", "우리 20201234 학번", "결제일 2026-11-25", "어제일 20261120",
    "비밀번호는 SHA-256으로 해시", "암호는 AES-256 방식", "암호는 RSA-2048로", "토큰은 GPT-4o-mini-2024 기준",
    "계약번호 211-04-1234", "부품 123-45-6789", "암호는 100000번 해시",
)  # fmt: skip
# what is no personal data and looks like some, by the name of its wordings
NEAR_MISSES: Mapping[str, Callable[[Random], str]] = {
    "order": _order,
    "parcel": _parcel,
    "timestamp": _timestamp,
    "moment": _moment,
    "date": _date,
    "version": _version,
    "price": _price,
    "isbn": _isbn,
    "model": _model,
    "uuid": _uuid,
    "hash": lambda rng: letters(rng, rng.choice((40, 64, 32)), HEX),
    "coordinate": lambda rng: f"37.{digits(rng, 6)}, 126.{digits(rng, 6)}",
    "number": _number,
    "range": lambda rng: f"{rng.randint(1900, 2020)}-{rng.randint(2021, 2030)}",
    "barcode": lambda rng: f"880{digits(rng, 10)}",
    "imei": lambda rng: f"35{digits(rng, 13)}",
    "lottery": _lottery,
    "mac": lambda rng: ":".join(letters(rng, 2, HEX) for _ in range(6)),
    "clock": _clock,
    "student": lambda rng: f"20{rng.randint(10, 25)}-{digits(rng, 5)}",
    "package": lambda rng: f"lodash@4.17.{rng.randint(1, 30)}",
    "code": _code,
    "everyday": lambda rng: rng.choice(EVERYDAY),
    "handle": lambda rng: f"@{rng.choice(NAMES).replace('+', '')}{digits(rng, 2)}",
}
