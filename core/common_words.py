"""Common words: enough to tell English from other languages in Latin letters, and a greeting from an echo."""

_ENGLISH = """
the of and to a in is you that it he was for on are as with his they i at be this have from or had by but not what
all were we when your can said there use an each which she do how their if will up about out many then them these
so some her would make like him into has my please t s me am don know why who where could should
"""
# German, French, Spanish, Italian, Portuguese, Dutch, Indonesian, Turkish, Polish, Swedish, Vietnamese
_ELSEWHERE = """
der das und ist nicht ein eine ich sie mit auf für dem von zu wie sind wird auch wir bitte kann
le les des une est et pas que pour dans qui sur je vous nous avec ce cette sont mais où
el los las del por para una qué cómo está pero más sus esta como muy usted
il di che sono gli della nel anche cosa perché questo
os um uma não você são isso mas muito obrigado
het een niet voor zijn dat deze ook maar wat hoe ik
yang untuk dengan ini itu tidak dari ada saya anda apa bisa adalah akan pada juga
ve bir bu için ile nasıl mı değil çok
jest nie się jak czy dla ale
och att det är inte jag på för
là và của không có được cho một những người tôi bạn này
"""
# without spaces and signs
_GREETINGS = """
hi hello hey heythere hithere yo goodmorning goodafternoon goodevening goodnight bye byebye goodbye seeyou
thanks thankyou merrychristmas happynewyear cheers welcome aloha
안녕 안녕하세요 안녕하십니까 반가워 반가워요 반갑습니다 잘자 잘자요 잘가 잘가요 안녕히가세요 안녕히계세요
안녕히주무세요 좋은아침 좋은아침입니다 좋은하루 좋은하루되세요 감사합니다 고마워 고마워요 고맙습니다 수고하세요
수고하셨습니다 새해복많이받으세요 메리크리스마스 사랑해 사랑해요
"""

ENGLISH = frozenset(_ENGLISH.split())
# none of these is a common English word
ELSEWHERE = frozenset(_ELSEWHERE.split()) - ENGLISH
GREETINGS = frozenset(_GREETINGS.split())
