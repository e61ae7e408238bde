"""Words of abuse, Korean and English, for a flag only; a short list of our own that makes no claim to be whole."""

_ENGLISH = """
fuck fucks fucked fucker fuckers fucking fuckin motherfucker motherfuckers motherfucking shit shits shitty bullshit
shithead bitch bitches bitching bastard bastards asshole assholes dickhead dickheads cunt cunts slut sluts whore whores
nigger niggers nigga faggot faggots retard retards retarded wanker wankers twat douchebag jackass scumbag dumbass kys
"""
_PHRASES = ("kill yourself", "go die", "drop dead", "piece of shit", "shut the hell up")
# as they stand inside a text, with whatever particle follows
_KOREAN = r"""
병신(?!년) 븅신 빙신 지랄 개새끼 개새키 개색기 개쉐이 개자식 쌍놈 쌍년 썅 좆 존나 졸라게 미친놈 미친년 미친새끼
닥쳐 꺼져라 엿\s?먹어라 느금마 니애미 니에미 니미럴 호로새끼 후레자식 찐따 등신 또라이 한남충 김치녀 된장녀 틀딱 맘충
짱깨 쪽바리 걸레년 창녀 씹새 씹년 씹할 죽여버린다 나가\s?뒈져 뒈져라
"""
_SHORTENED = ("ㅅㅂ", "ㅆㅂ", "ㅂㅅ", "ㅄ", "ㅈㄹ", "ㅈㄴ", "ㄱㅅㄲ", "ㅅㄲ")
# The commonest word, with what is put between its syllables; neither 시발점 (start) nor 출시 발표 (announcement). Every
# alternative begins with a letter of its own, which lets the search skip to it.
_KOREAN_EVADED = (
    *(first + r"(?<![가-힣].)[\d.*~!@#^_-]{0,2}[발빨벌팔](?!점|역|지|자동차|택시|표|아율)" for first in "시씨쉬"),
    *(first + r"(?<![가-힣].) [발팔] ?(?:놈|년|새끼|롬)" for first in "시씨"),
    *(f"{short[0]}(?<![ㄱ-ㅎ].){short[1:]}(?![ㄱ-ㅎ])" for short in _SHORTENED),
    "ㅅㅣㅂㅏㄹ",
    "ㅆㅣㅂㅏㄹ",
    *(first + r"[\d.*~!@#^_-]{1,2}신" for first in "병븅"),
)
_ENGLISH_EVADED = (
    r"\bf[\W_]{0,3}[u*@v][\W_]{0,3}[c*][\W_]{0,3}k(?:er|ing|ed|s)?\b",
    r"\bf\*{2,3}k?\b",
    r"\bsh[1!*]t(?:ty|s)?\b",
    r"\bb[1!*]tch(?:es)?\b",
    r"\ba[$*]{2}hole\b",
    r"\bc\*nt\b",
)

WORDS = frozenset(_ENGLISH.split())
KOREAN = "|".join((*_KOREAN.split(), *_KOREAN_EVADED))
EVADED = "|".join((*_ENGLISH_EVADED, *map(r"\b{}\b".format, _PHRASES)))
