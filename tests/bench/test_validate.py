from bench.chat_data import conversations
from bench.validate import PARTS, mean, of_whole
from core.language import language_of
from core.pii import find
from core.reading import read

WHOLE = {
    "seconds": 10.0,
    "rows": 1000.0,
    "peak MiB": 500.0,
    "import of Great Expectations": 1.0,
    "Great Expectations": 0.5,
    **dict.fromkeys(("screening and files", "leaks", "statistics", "page"), 1.0),
}


def test_the_same_seed_gives_the_same_conversations_whole_or_in_part() -> None:
    made = list(conversations(300))
    assert list(conversations(200)) == made[:200]
    assert list(conversations(300, seed=4)) != made
    assert len({one.id for one in made}) == 300


def test_the_conversations_hold_what_screening_finds() -> None:
    made = list(conversations(600))
    languages = [language_of(read(one.reply)) for one in made]
    assert min(languages.count("ko"), languages.count("en")) > 200
    assert sum(bool(find(one.last_user)) for one in made) > 20
    assert max(len(one.reply) for one in made) > 4_000


def test_the_whole_is_held_to_what_its_parts_take_alone() -> None:
    parts = mean(dict.fromkeys(PARTS, 3.0), dict.fromkeys(PARTS, 1.0))
    speed = of_whole(WHOLE, parts)[0]
    assert (speed.ours, speed.other, speed.holds) == (100.0, 1000 / 6, True)
    slower = of_whole({**WHOLE, "seconds": 10.1}, parts)[0]
    assert not slower.holds
    assert [
        figure.holds for figure in of_whole({**WHOLE, "peak MiB": 1025.0}, parts) if figure.name == "peak memory"
    ] == [False]
