"""Check digits and plausible values of identifiers; digits are given without separators."""

from operator import mul

_RRN_WEIGHTS = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)
_BRN_WEIGHTS = (1, 3, 7, 1, 3, 7, 1, 3, 5)
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_DOUBLED = dict(zip("0123456789", (0, 2, 4, 6, 8, 1, 3, 5, 7, 9), strict=True))
_BETWEEN = dict.fromkeys(map(ord, " \t-.()/~_+"))
# Regions of Korean driver's licences: 11 Seoul to 26 Ulsan, 28 northern Gyeonggi.
LICENCE_REGIONS = frozenset({str(region) for region in range(11, 27)} | {"28"})


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    return (sum(map(int, digits[::-2])) + sum(map(_DOUBLED.__getitem__, digits[-2::-2]))) % 10 == 0


def card_issuer(digits: str) -> bool:
    """Whether an issuer gives out numbers that start and end like this: the ranges of the large schemes."""
    length, two, three, four = len(digits), int(digits[:2]), int(digits[:3]), int(digits[:4])
    return (
        (digits[0] == "4" and length in (13, 16, 19))
        or ((51 <= two <= 55 or 2221 <= four <= 2720) and length == 16)  # Mastercard
        or (two in (34, 37) and length == 15)  # American Express
        or ((300 <= three <= 305 or two in (36, 38)) and length == 14)  # Diners Club
        or ((four == 6011 or two in (64, 65)) and 16 <= length <= 19)  # Discover
        or (3528 <= four <= 3589 and length == 16)  # JCB
        or (two == 62 and 16 <= length <= 19)  # UnionPay
        or (digits[0] == "9" and length == 16)  # cards for Korea alone
    )


def rrn_checksum(digits: str) -> bool:
    """Of resident and foreigner numbers given out before October 2020; later ones pass by chance only."""
    remainder = sum(map(mul, _RRN_WEIGHTS, map(int, digits))) % 11
    base = 13 if digits[6] in "5678" else 11
    return bool((base - remainder) % 10 == int(digits[12]))


def day_exists(month: int, day: int) -> bool:
    """In some year."""
    return 1 <= month <= 12 and 1 <= day <= _DAYS[month - 1]


def brn_checksum(digits: str) -> bool:
    """Korean business registration number, 10 digits."""
    total = sum(map(mul, _BRN_WEIGHTS, map(int, digits)))
    return bool((total + int(digits[8]) * 5 // 10 + int(digits[9])) % 10 == 0)


def iban(value: str) -> bool:
    """ISO 13616: letters as two digits, the first four characters last, remainder 1 by 97."""
    moved = value[4:] + value[:4]
    return int("".join(str(int(character, 36)) for character in moved)) % 97 == 1


def digits_of(number: str) -> str:
    """Without what may stand between them."""
    return number if number.isdecimal() else number.translate(_BETWEEN)
