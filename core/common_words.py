"""The commonest words of English, and of other languages in Latin letters; enough to tell the first from the rest."""

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

ENGLISH = frozenset(_ENGLISH.split())
# none of these is a common English word
ELSEWHERE = frozenset(_ELSEWHERE.split()) - ENGLISH
