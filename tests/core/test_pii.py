import json
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.pii_near_misses import EVERYDAY
from core.conversation import Message
from core.pii import ALL, CONTACT, UNIQUE, Masker, PersonalData, find, mask_personal, mask_unique, placeholders
from tests.core.examples import conversation

ANY = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=80)
# pieces that, put together at random, are nearly personal data
PIECES = st.sampled_from(
    ["960121-1021413", "9601211021413", "960121-1******", "010-1234-5678", "+82 10 1234 5678", "4111 1111 1111 1111",
     "4111111111111111", "kim@example.com", "11-12-345678-90", "M123A4567", "여권", "passport ", "계좌", "국민은행",
     "전화",
     "123-45-67890", "123-45-6789", "192.168.10.7", "2001:db8::8a2e:370:7334", "sk-abcdefghijklmnopqrstuvwx1",
     "api_key=", "......", "token=", "://a:",
     "9f8a7b6c5d4e3f2a1b0c", "서울 강남구 테헤란로 152", "123 Main Street", "[RRN]", "[PHONE_2]", "[", "]",
     "입니다", "-", " ", "\n",
     "1", "0", "0101", "@", ".", "은", "\u200b", "３", "–", "(", "+", "=", "password: ", "qwer1234"]
)  # fmt: skip
NEARLY = st.lists(PIECES, max_size=12).map("".join)


def kinds(text: str) -> list[str]:
    return [one.kind for one in find(text)]


def values(text: str) -> list[tuple[str, str]]:
    return [(one.kind, text[one.start : one.end]) for one in find(text)]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("주민번호는960121-1021413입니다", "rrn", "960121-1021413"),
        ("960121 - 1021413", "rrn", "960121 - 1021413"),
        ("960121 1021413이에요", "rrn", "960121 1021413"),
        ("960121–1021413", "rrn", "960121–1021413"),
        ("９６０１２１－１０２１４１３", "rrn", "９６０１２１－１０２１４１３"),
        ("제 번호 9601211021413", "rrn", "9601211021413"),
        ("민증은 960121-1******", "rrn", "960121-1******"),
        ("960121-●●●●●●●", "rrn", "960121-●●●●●●●"),
        ("201231-3123456", "rrn", "201231-3123456"),
        ("201231-9123456", "rrn", "201231-9123456"),
        ("외국인등록번호 850505-5123456", "frn", "850505-5123456"),
        ("운전면허 11-12-345678-90", "driver_licence", "11-12-345678-90"),
        ("면허번호는 111234567890이고", "driver_licence", "111234567890"),
        ("여권번호는 M123A4567입니다", "passport", "M123A4567"),
        ("passport: M12345678", "passport", "M12345678"),
        ("카드번호4111111111111111입니다", "card", "4111111111111111"),
        ("4111-1111-1111-1111", "card", "4111-1111-1111-1111"),
        ("amex 3782 822463 10005", "card", "3782 822463 10005"),
        ("My SSN is 123-45-6789.", "ssn", "123-45-6789"),
        ("이메일은kim@example.com입니다", "email", "kim@example.com"),
        ("kim.lee+a@mail.example.co.kr으로 보내", "email", "kim.lee+a@mail.example.co.kr"),
        ("kim＠example．com", "email", "kim＠example．com"),
        ("제 번호는010-1234-5678이고", "phone", "010-1234-5678"),
        ("01012345678로", "phone", "01012345678"),
        ("010.1234.5678", "phone", "010.1234.5678"),
        ("010ㅡ1234ㅡ5678", "phone", "010ㅡ1234ㅡ5678"),
        ("010\u200b-1234-5678", "phone", "010\u200b-1234-5678"),
        ("(02) 123-4567", "phone", "(02) 123-4567"),
        ("+82-10-1234-5678", "phone", "+82-10-1234-5678"),
        ("+82 (0)10 1234 5678", "phone", "+82 (0)10 1234 5678"),
        ("call me: 4155552671", "phone", "4155552671"),
        ("(415) 555-2671", "phone", "(415) 555-2671"),
        ("+44 20 7946 0958", "phone", "+44 20 7946 0958"),
        ("사업자등록번호 123-45-67890", "business_number", "123-45-67890"),
        ("사업자번호:1234567890", "business_number", "1234567890"),
        ("국민은행 123456-04-123456", "bank_account", "123456-04-123456"),
        ("계좌번호는 110123456789입니다", "bank_account", "110123456789"),
        ("110-123-456789 신한은행", "bank_account", "110-123-456789"),
        ("IBAN GB82 WEST 1234 5698 7654 32", "bank_account", "GB82 WEST 1234 5698 7654 32"),
        ("GB82 WEST 1234 5698 7654 32", "bank_account", "GB82 WEST 1234 5698 7654 32"),
        ("DE89370400440532013000", "bank_account", "DE89370400440532013000"),
        ("서버는 203.0.113.7이에요", "ip_address", "203.0.113.7"),
        ("from 2001:0db8:85a3::8a2e:0370:7334", "ip_address", "2001:0db8:85a3::8a2e:0370:7334"),
        ("key sk-proj-abcdefghij1234567890ABCDEFGHIJ", "secret", "sk-proj-abcdefghij1234567890ABCDEFGHIJ"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "secret", "ghp_abcdefghijklmnopqrstuvwxyz0123456789"),
        ("AKIAIOSFODNN7EXAMPLE입니다", "secret", "AKIAIOSFODNN7EXAMPLE"),
        ('api_key="9f8a7b6c5d4e3f2a1b0c"', "secret", "9f8a7b6c5d4e3f2a1b0c"),
        ("비밀번호는 qwer1234! 입니다", "secret", "qwer1234!"),
        ("postgres://app:s3cr3tPw@db/x", "secret", "s3cr3tPw"),
        ("서울특별시 강남구 테헤란로 152에 살아요", "address", "서울특별시 강남구 테헤란로 152"),
        ("서울 강남구 역삼동 737-32번지", "address", "서울 강남구 역삼동 737-32번지"),
        ("서울 강남구 테헤란로 152번지 101동 1203호로", "address", "서울 강남구 테헤란로 152번지 101동 1203호"),
        ("주소는 판교역로 235번지 B동 501호", "address", "판교역로 235번지 B동 501호"),
        ("공일공-1234-5678로 전화", "phone", "공일공-1234-5678"),
        ("제 번호는 공일공 일이삼사 오육칠팔이에요", "phone", "공일공 일이삼사 오육칠팔"),
        ("공일공일이삼사오육칠팔", "phone", "공일공일이삼사오육칠팔"),
        ("960121-\n1021413", "rrn", "960121-\n1021413"),
        ("주민번호 960121\n  1021413", "rrn", "960121\n  1021413"),
        ("850505\r\n-5123456", "frn", "850505\r\n-5123456"),
        ("1234-****-****-5678로 결제", "card", "1234-****-****-5678"),
        ("4111 ●●●● ●●●● 1111", "card", "4111 ●●●● ●●●● 1111"),
        ("4111********1111", "card", "4111********1111"),
        ("카드 4111-XXXX-XXXX-1111", "card", "4111-XXXX-XXXX-1111"),
        ("PW: Qwer1234!", "secret", "Qwer1234!"),
        ("pw는 qwer1234!", "secret", "qwer1234!"),
        ("패스워드는 qwer1234!야", "secret", "qwer1234!"),
        ("password: 12345678", "secret", "12345678"),
        ("비밀번호 19900101이에요", "secret", "19900101"),
        ("와이파이 비번 88888888", "secret", "88888888"),
        ("주민번호 앞자리는 900101이고 뒷자리는 1234567이에요", "rrn", "900101이고 뒷자리는 1234567"),
        ("주민번호는 900101 다시 1234567", "rrn", "900101 다시 1234567"),
        ("우리 1002-123-456789로 보내", "bank_account", "1002-123-456789"),
        ("제주 12-34-567890", "bank_account", "12-34-567890"),
        ("지역농협 302-1234-5678-91", "bank_account", "302-1234-5678-91"),
        ("서울 강남구 테헤란로 152인데요", "address", "서울 강남구 테헤란로 152"),
        ("서울 강남구 테헤란로 152도 되나요", "address", "서울 강남구 테헤란로 152"),
        ("서울 강남구 테헤란로 152일 거예요", "address", "서울 강남구 테헤란로 152"),
        ("I live at 1905 Main Street", "address", "1905 Main Street"),
        ("11 Wall Street, New York, NY 10005", "address", "11 Wall Street, New York, NY 10005"),
        ("at 123 Main Street, Springfield, IL 62704", "address", "123 Main Street, Springfield, IL 62704"),
    ],
)
def test_a_value_is_found_whole_and_nothing_beside_it(text: str, kind: str, value: str) -> None:
    assert values(text) == [(kind, value)]


@pytest.mark.parametrize(
    "text",
    [
        "주문번호 20260101123456", "order no. 4111111111111111", "timestamp: 1712091234567", "1700000000 1700000000000",
        "2026-11-21 13:38:13", "20261121", "version 10.2.13.4", "v1.2.3.4", "1,234,567,890원", "$1,234,567.89",
        "ISBN 978-0-306-40615-7", "SM-G991N", "RTX4090 24GB 3", "위로 3번 앞으로 10번", "0.9601211021413",
        "3.14159265358979",
        "127.0.0.1", "a::b std::d1", "@whetstone", "icon@2x.png", "git@github.com:a/b.git", "token = self.next_token_1",
        'api_key = os.environ["API_KEY_2"]', "password: string", "4111111111111112", "1588-1234", "123-45",
        "960121\n1021413", "2026-11-21\n1234567", "제품 960121\n1021413", "1234-XXXX-XXXX-5678", "1234-****",
        "****-****-****-5678", "12-****-****-5678", "1234-****-5678", "1234-****-####-5678", "공일공 팀장",
        "공일이 많아서 바빠요", "팔공일공 사이", "공일공-123", "번지점프 152번", "152번지 없는 주소", "로 152번지",
        "M123A4567 모델을 샀어요", "123e4567-e89b-12d3-a456-426614174000", "[RRN] [EMAIL_3] [CARD]", "2 way street",
    ],
)  # fmt: skip
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert find(text) == []


@pytest.mark.parametrize("text", [*EVERYDAY, *(f"{text}." for text in EVERYDAY)])
def test_everyday_text_with_a_number_in_it_is_left_alone(text: str) -> None:
    assert find(text) == []


@pytest.mark.parametrize("text", ["token=......", "password: ...... 1", "api_key=!!!!!!@", "비밀번호는 ...... 1"])
def test_marks_alone_are_no_secret(text: str) -> None:
    assert find(text) == []


def test_a_check_digit_makes_certain_and_never_rejects() -> None:
    found = [find(f"960121-102141{digit}") for digit in range(10)]
    assert [len(one) for one in found] == [1] * 10
    assert sum(one[0].certain for one in found) == 1


def test_a_private_key_is_one_secret_with_or_without_its_end() -> None:
    body = "MIIEpAIBAAKCAQEA7bq\nx1Yz+/==\n"
    whole = f"-----BEGIN RSA PRIVATE KEY-----\n{body}-----END RSA PRIVATE KEY-----"
    assert values(f"키: {whole} 끝") == [("secret", whole)]
    assert "MIIE" not in Masker().mask(f"-----BEGIN PRIVATE KEY-----\n{body}")


def test_one_value_has_one_placeholder_in_a_conversation_however_it_is_written() -> None:
    said = conversation(
        "제 번호는 010-1234-5678, 메일은 Kim@Example.com", "010 1234 5678이 맞나요? kim@example.com, lee@example.com"
    )
    masked, counts = mask_personal(said, None)
    assert masked.messages[0].content == "제 번호는 [PHONE_1], 메일은 [EMAIL_1]"
    assert masked.reply == "[PHONE_1]이 맞나요? [EMAIL_1], [EMAIL_2]"
    assert counts == {"phone": 2, "email": 3}


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ("kim.min@example.com", "kimmin@example.com", "EMAIL"),
        ("kim_min@example.com", "kim-min@example.com", "EMAIL"),
        ("a@b-c.com", "a@bc.com", "EMAIL"),
        ("21.2.33.4", "212.3.3.4", "IP_ADDRESS"),
        ("서울특별시 강남구 테헤란로 12-3", "서울특별시 강남구 테헤란로 123", "ADDRESS"),
    ],
)
def test_two_values_that_differ_in_a_mark_alone_have_two_placeholders(one: str, other: str, kind: str) -> None:
    masked, _ = mask_personal(conversation(f"이것은 {one} 입니다", f"저것은 {other} 입니다"), None)
    assert (masked.messages[0].content, masked.reply) == (f"이것은 [{kind}_1] 입니다", f"저것은 [{kind}_2] 입니다")


def test_capture_masks_what_is_unique_and_leaves_contact_data() -> None:
    masked, counts = mask_unique(conversation("960121-1021413 kim@example.com", "4111 1111 1111 1111"))
    assert (masked.messages[0].content, masked.reply) == ("[RRN] kim@example.com", "[CARD]")
    assert counts == {"rrn": 1, "card": 1}


def test_numbers_given_out_before_are_not_given_again() -> None:
    masked, _ = mask_personal(conversation("[EMAIL_2] wrote", "ask lee@example.com"), None)
    assert masked.reply == "ask [EMAIL_3]"


def test_a_conversation_without_any_is_the_same_object() -> None:
    plain = conversation()
    masked, counts = mask_personal(plain, None)
    assert masked is plain
    assert not counts


def test_a_recogniser_adds_names_and_never_overrules_the_rules() -> None:
    text = "Kim Lee: kim@example.com [RRN]"
    masked, counts = mask_personal(
        conversation(text, "ok"), lambda given: [PersonalData("name", 0, 7, False), PersonalData("name", 9, 30, False)]
        if given == text else [],
    )  # fmt: skip
    assert masked.messages[0].content == "[NAME_1]: [EMAIL_1] [RRN]"
    assert counts == {"name": 1, "email": 1}


def test_kinds_are_found_alone_as_they_are_together() -> None:
    text = "960121-1021413 kim@example.com 010-1234-5678"
    assert [one.kind for one in find(text, UNIQUE)] == ["rrn"]
    assert [one.kind for one in find(text, CONTACT)] == ["email", "phone"]
    assert not UNIQUE & CONTACT
    assert UNIQUE | CONTACT == ALL


def test_inside_json_and_tables() -> None:
    row = json.dumps({"name": "김", "rrn": "9601211021413", "phone": "01012345678", "id": 17}, ensure_ascii=False)
    assert kinds(row) == ["rrn", "phone"]
    assert kinds("| 여권 | 이메일 |\n|---|---|\n| M123A4567 | a@b.kr |") == ["passport", "email"]


@given(st.one_of(ANY, NEARLY))
@settings(deadline=None)
def test_offsets_are_in_the_text_in_order_and_apart(text: str) -> None:
    found = find(text)
    assert all(0 <= one.start < one.end <= len(text) for one in found)
    assert all(before.end <= after.start for before, after in pairwise(found))
    assert {one.kind for one in found} <= ALL


@given(st.one_of(ANY, NEARLY), st.sampled_from([ALL, UNIQUE, CONTACT]))
@settings(max_examples=300, deadline=None)
def test_masking_twice_is_masking_once(text: str, some: frozenset[str]) -> None:
    once = Masker(some).mask(text)
    assert find(once, some) == []
    assert Masker(some).mask(once) == once


@given(NEARLY, NEARLY)
@settings(deadline=None)
def test_a_masked_conversation_stays_as_it_is(question: str, reply: str) -> None:
    masked, _ = mask_personal(mask_unique(conversation(question, reply))[0], None)
    assert mask_personal(masked, None) == (masked, {})
    assert mask_unique(masked) == (masked, {})


@given(st.text(st.characters(), max_size=60))
@settings(deadline=None)
def test_no_text_breaks_it(text: str) -> None:
    Masker().mask(text)


@pytest.mark.parametrize(
    "piece", ["a.", "1", "1 ", "1-", "서울 ", "구 ", "eyJ", "key=", "::", "a@", "x", "0 1.", "- ", "로 1"]
)
def test_long_text_takes_no_longer_than_its_length(piece: str) -> None:
    text = piece * (60_000 // len(piece))
    started = time.process_time()
    Masker().mask(text)
    assert time.process_time() - started < 3  # a pattern that backtracks takes minutes


@pytest.mark.parametrize("piece", ["a@b.co ", "-----BEGIN PRIVATE KEY-----\n"])
def test_a_text_full_of_personal_data_takes_no_longer_than_its_length(piece: str) -> None:
    text = piece * (300_000 // len(piece))
    started = time.process_time()
    find(text)
    assert time.process_time() - started < 5  # each of them compared with all others takes more than ten


def test_what_stands_masked_can_be_counted() -> None:
    assert placeholders("[RRN] and [EMAIL_2], [EMAIL_2] [NONE_1]") == {"rrn": 1, "email": 2}
    assert Message(role="user", content="[RRN]").content == "[RRN]"


def test_a_number_from_abroad_is_found_with_another_number_behind_it() -> None:
    masked = Masker().mask("reach us: +44 20 4109 5702 1932-2027, thanks")
    assert "4109" not in masked
    assert masked.endswith(", thanks")
