import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.language import Language, language_of, mismatch, script_of
from core.reading import read


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("오늘 날씨가 어때요?", "ko"),
        ("안녕하세요", "ko"),
        ("Docker를 설치하고 나서 compose 명령을 쓰면 됩니다", "ko"),
        ("ㅋㅋㅋㅋ 그건 좀 웃기네", "ko"),
        ("How do I reset my password?", "en"),
        ("I can't find the café near the station", "en"),
        ("Ｈｏｗ ａｒｅ ｙｏｕ ｔｏｄａｙ", "en"),
        ("¿Cómo está usted y qué tal los niños?", "other"),
        ("Je ne sais pas, mais je vous remercie pour les informations", "other"),
        ("Ich weiß nicht, wie das Programm heißt und wo ich es finde", "other"),
        ("Il gatto è sul tavolo della cucina", "other"),
        ("Bạn có thể giúp tôi không?", "other"),
        ("今日はいい天気ですね。", "other"),
        ("今天天气怎么样", "other"),
        ("Какая сегодня погода?", "other"),
        ("42", None),
        ("3.14 + 2 = 5.14", None),
        ("OK", None),
        ("서울", None),
        ("Paris", None),
        ("", None),
        ("😀😀😀", None),
        ("```python\nfor item in items: print(item)\n```", None),
        ("```\n여기는 코드 안의 주석입니다", None),
        ("https://example.com/the/page/of/something", None),
        ("`git push --force origin main`", None),
    ],
)
def test_a_text_has_a_language_when_it_says_enough(text: str, language: Language | None) -> None:
    assert language_of(read(text)) == language


@pytest.mark.parametrize(("text", "script"), [("서울", "ko"), ("OK", "en"), ("42", "other"), ("東京", "other")])
def test_a_short_text_has_a_script(text: str, script: str) -> None:
    assert script_of(read(text)) == script


def differ(asked: str, reply: str, *instructions: str) -> bool:
    first, second = read(asked), read(reply)
    return mismatch(first, second, language_of(first), language_of(second), instructions)


KOREAN = "먼저 전원을 확인하고 다시 켜 보세요."
ENGLISH = "Please check the power cable first."
SPANISH = "Por favor, compruebe el cable de la corriente y los enchufes."


@pytest.mark.parametrize(
    ("asked", "reply"),
    [
        ("노트북이 켜지지 않아요", ENGLISH),
        ("My laptop does not turn on", KOREAN),
        ("My laptop does not turn on", SPANISH),
        ("노트북이 켜지지 않아요", "请先检查一下电源线是否连接好"),
        ("안녕하세요", "Hello! How can I help you today?"),
    ],
)
def test_a_reply_in_another_language_is_found(asked: str, reply: str) -> None:
    assert differ(asked, reply)


@pytest.mark.parametrize(
    ("asked", "reply"),
    [
        ("다음을 영어로 번역해 줘: 전원을 확인하세요", ENGLISH),
        ("'전원을 확인하세요'는 영어로 뭐예요?", ENGLISH),
        ("이 문장 영작해줘 전원을 먼저 확인하세요", ENGLISH),
        ("Translate this for me, please check the cable", KOREAN),
        ("Say it in Korean: check the power first", KOREAN),
        ("How do you say 'check the power' where you live?", KOREAN),
        ("Write a short poem in Spanish about cables", SPANISH),
        ("스페인어로 케이블에 대해 써 줘", SPANISH),
    ],
)
def test_another_language_may_be_asked_for(asked: str, reply: str) -> None:
    assert not differ(asked, reply)


@pytest.mark.parametrize(
    ("asked", "reply"),
    [
        ("노트북이 켜지지 않아요", KOREAN),
        ("My laptop does not turn on", ENGLISH),
        # a sentence around a log, an answer full of terms
        ("이거 왜 이래? TypeError: unsupported operand type(s) for +: 'int' and 'str'", KOREAN),
        ("컨테이너 어떻게 띄워?", "docker compose up --detach 를 쓰세요. Docker Desktop settings > Resources 확인"),
        ("What does 안녕하세요 mean?", "It is a polite way to say hello."),
        # no language of their own
        ("hi", "안녕하세요, 무엇을 도와드릴까요?"),
        ("print(1)", KOREAN),
        ("12 * 8 = ?", KOREAN),
        ("프랑스의 수도는 어디인가요?", "Paris"),
        ("파이썬으로 합을 구해 줘", "```python\ntotal = sum(values)  # add all of the values together\n```"),
        ("저 사람 이름이 뭐였지?", "42"),
        # Latin letters that are no sentence
        (
            "구구단 2단을 써 줘",
            "2 x 1 = 2\n2 x 2 = 4\n2 x 3 = 6\n2 x 4 = 8\n2 x 5 = 10\n2 x 6 = 12\n2 x 7 = 14\n2 x 8 = 16\n2 x 9 = 18",
        ),
        ("토익 단어 다섯 개만 알려 줘", "accommodate, reimburse, invoice, agenda, comply"),
    ],
)
def test_what_fits_the_question_is_kept(asked: str, reply: str) -> None:
    assert not differ(asked, reply)


@pytest.mark.parametrize(
    ("asked", "reply"),
    [
        (
            "최근 가입자 10명을 뽑는 쿼리 알려줘",
            "SELECT id FROM users WHERE active AND age > 3 ORDER BY created_at;",
        ),
        ("비틀즈 노래 세 개만 알려줘", "Let It Be, Hey Jude, Come Together, All You Need Is Love"),
        ("미국 거래처에 보낼 사과 메일 써줘", "Dear Mr. Smith, I am writing to apologize for the delay in your order."),
        ("외국인 손님에게 보낼 안내문 부탁해", "Dear guest, please leave the key at the desk when you check out."),
        (
            "마지막 커밋을 되돌리는 명령어는?",
            "git reset --soft HEAD~1 to keep the changes and then commit again",
        ),
    ],
)
def test_code_names_and_letters_abroad_may_be_english(asked: str, reply: str) -> None:
    assert not differ(asked, reply)


def test_what_was_agreed_on_before_holds() -> None:
    assert differ("노트북이 켜지지 않아요", ENGLISH, "You are a patient assistant.")
    assert not differ("노트북이 켜지지 않아요", ENGLISH, "Always answer in English.")
    assert not differ("노트북이 켜지지 않아요", ENGLISH, "이제부터 영어로 대답해 줘", "고마워")


@given(st.text(), st.text())
def test_any_text_has_a_language_or_none(asked: str, reply: str) -> None:
    assert language_of(read(asked)) in {"ko", "en", "other", None}
    assert not differ(asked, asked)
    assert not (differ(asked, reply) and language_of(read(asked)) == language_of(read(reply)))
