"""Replies that go round in circles: the mark of a small model that lost its way.

Three looks, from cheap to dear; a reply that repeats hardly anything is let through after counting its pairs of words.
- Loops: a unit of words, characters or lines that follows itself again and again, or a reply that is said twice.
- Gopher's shares (Rae et al. 2021, table A1): repeated lines and paragraphs, the commonest 2- to 4-gram, repeated
  5- to 10-grams.
- The rest of Gopher's and FineWeb's rules, on symbols and the like, is in `core.noise`.

Gopher's limits are for documents of 50 words or more; a short text of two alike sentences is over them. Below
`TOP_WORDS` and `REPEATED_WORDS` words the limits therefore rise linearly up to the whole text. And as a refrain, a form
or a list may well say a line twice, a line counts from the third time on. Code is left out, except for loops of lines.
Limit: a reply that was asked to repeat ("write it ten times") is rejected too.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from core.reading import ADDRESS, Text, without_code, words
from core.rules import Finding

TOP_GRAMS = {2: 0.20, 3: 0.18, 4: 0.16}
REPEATED_GRAMS = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
TOP_WORDS, REPEATED_WORDS = 80, 150
PROSE_LINE_WORDS = 12  # a shorter line is of a list, a table or a verse, whose lines are made alike
TOP_TIMES = 4
LINES = 0.3
LINE_CHARACTERS = 0.2
PARAGRAPHS = 0.3
DUPLICATE_CHARACTERS = 0.01

# In UTF-8 a Hangul syllable has three bytes and says what three Latin letters say.
LINES_BYTES = 40
PARAGRAPH_BYTES = 80

# pairs of words that stand again: below this nothing is repeated enough to look closer
FEW_REPEATS = 3
FEW_REPEATS_SHARE = 0.06

ONE_WORD_TIMES = 12  # "ha ha ha" may be long
UNIT_TIMES = 4
LONG_UNIT_WORDS, LONG_UNIT_TIMES = 8, 3
LOOP_SHARE = 0.3
LOOP_TAIL_WORDS = 20
WHOLE_WORDS = 16
RUN = 40
RUN_OF_SYMBOLS, RUN_OF_DRAWN = 100, 250
DRAWN = frozenset("-=_*~^#+.")
LONG_WORD, LONGEST_WORD = 24, 4_000
SHORT_UNIT, SHORT_UNIT_LENGTH = 2, 48  # "hahaha" may be long
LOOPED_LINES_TIMES, LOOPED_LINES_BYTES = 8, 160
LOOPED_CHARACTERS = re.compile(r"(.{2,40}?)\1{3,}")
PARAGRAPH_BREAK = re.compile(r"\n[ \t]*\n")
SENTENCE_END = re.compile(r"(?<=[.!?。！？…])\s+|\n")


def repetition_findings(reply: Text) -> list[Finding]:
    """What a reply says too often; at most one finding of each kind."""
    loop = _character_loop(reply) or _line_loop(reply)
    repeats = len(reply.prose_words) - 1 - len(set(pairwise(reply.prose_words)))
    if repeats < max(FEW_REPEATS, FEW_REPEATS_SHARE * len(reply.prose_words)):
        return [_finding("looping", loop)] if loop else []
    prose, said = reply.prose, reply.prose_words
    if "://" in reply.raw:
        prose = ADDRESS.sub(_as_a_word, without_code(reply.raw))
        said = words(prose)
    found = [("looping", loop or _word_loop(said)), ("repeated_paragraphs", _repeated_paragraphs(prose))]
    found += [("repeated_lines", _repeated_lines(prose)), ("repeated_words", _repeated_grams(prose))]
    errors = [_finding(rule, message) for rule, message in found if message]
    return errors or list(_duplicate_characters(prose))


def _as_a_word(address: re.Match[str]) -> str:
    """Two addresses differ, but that all begin alike repeats nothing."""
    return "".join(words(address[0]))


def _finding(rule: str, message: str) -> Finding:
    return Finding(rule=rule, severity="error", where="reply", message=message)


def _character_loop(reply: Text) -> str | None:
    """One character over and over, or a few in a word without spaces."""
    raw = reply.raw
    # a run that long shows at two of these places side by side
    for character in {one for one, next_one in pairwise(raw[:: RUN // 2]) if one == next_one}:
        length = RUN if character.isalnum() else RUN_OF_DRAWN if character in DRAWN else RUN_OF_SYMBOLS
        if not character.isspace() and character * length in raw:
            return f"Expected words, found one character {length} times or more in a row"
    for word in reply.prose_words if max(map(len, reply.prose_words), default=0) >= LONG_WORD else ():
        if len(word) >= LONG_WORD and (loop := LOOPED_CHARACTERS.search(word[:LONGEST_WORD])):
            least = SHORT_UNIT_LENGTH if len(loop[1]) <= SHORT_UNIT else LONG_WORD
            if len(loop[0]) >= least and not loop[1].isdigit():
                return f"Expected words, found {len(loop[1])} characters {len(loop[0]) // len(loop[1])} times in a row"
    return None


def _word_loop(said: Sequence[str]) -> str | None:
    """A unit of words that follows itself; the units tried are the commonest distances of a pair to its last place."""
    half = len(said) // 2
    if len(said) >= WHOLE_WORDS and len(said) % 2 == 0 and said[:half] == said[half:]:
        return f"Expected the reply once, found the same {half} words twice"
    for unit, _ in _distances(said).most_common(3):
        start, length = _longest_run(said, unit)
        times = length // unit
        enough = ONE_WORD_TIMES if unit == 1 else LONG_UNIT_TIMES if unit >= LONG_UNIT_WORDS else UNIT_TIMES
        tail = start + length == len(said) and length >= LOOP_TAIL_WORDS
        if times >= enough and (tail or length >= LOOP_SHARE * len(said)):
            return f"Expected a sentence to end, found {unit} words {times} times in a row"
    return None


def _distances(said: Sequence[str]) -> Counter[int]:
    last: dict[tuple[str, str], int] = {}
    distances: Counter[int] = Counter()
    for place, pair in enumerate(pairwise(said)):
        if pair in last:
            distances[place - last[pair]] += 1
        last[pair] = place
    return distances


def _longest_run(said: Sequence[str], unit: int) -> tuple[int, int]:
    """Start and length of the longest stretch that repeats itself every `unit` words."""
    best_start, best, run = 0, 0, 0
    for place in range(len(said) - unit):
        run = run + 1 if said[place] == said[place + unit] else 0
        if run > best:
            best_start, best = place - run + 1, run
    return best_start, best + unit if best else 0


def _line_loop(reply: Text) -> str | None:
    """The same line again and again, in code too."""
    lines = [line.strip() for line in reply.raw.split("\n")] if "\n" in reply.raw else []
    if len(lines) - len(set(lines)) < LOOPED_LINES_TIMES - 1:
        return None
    run = 0
    for before, line in pairwise(lines):
        run = run + 1 if line == before and any(map(str.isalpha, line)) else 0
        if run + 1 >= LOOPED_LINES_TIMES and (run + 1) * _size(line) >= LOOPED_LINES_BYTES:
            return f"Expected the line once, found it {run + 1} times or more in a row"
    return None


def _repeated_lines(prose: str) -> str | None:
    """Lines, or where there is one alone sentences, that stand a third time."""
    for pieces, what in ((prose.split("\n"), "lines"), (SENTENCE_END.split(prose), "sentences")):
        units = _units(pieces)
        again = _again(units, 3)
        size = sum(map(_size, again))
        whole = sum(map(_size, units)) or 1
        if size >= LINES_BYTES and (len(again) > LINES * len(units) or size > LINE_CHARACTERS * whole):
            return f"Expected at most {LINES:.0%} of {what} a third time, found {len(again)} of {len(units)}"
    return None


def _repeated_paragraphs(prose: str) -> str | None:
    """Paragraphs said before; one of several lines is a verse or a list and may stand twice."""
    units = _units(PARAGRAPH_BREAK.split(prose))
    again = [unit for unit in _again(units, 2) if _size(unit) >= PARAGRAPH_BYTES and "\n" not in unit]
    again += [unit for unit in _again(units, 3) if "\n" in unit]
    if sum(map(_size, again)) <= PARAGRAPHS * sum(map(_size, units)):
        return None
    return f"Expected each paragraph once, found {len(again)} of {len(units)} again"


def _duplicate_characters(prose: str) -> Iterator[Finding]:
    units = _units(prose.split("\n"))
    again = [unit for unit in _again(units, 2) if _size(unit) >= PARAGRAPH_BYTES]
    if sum(map(_size, again)) > DUPLICATE_CHARACTERS * sum(map(_size, units)):
        message = f"Found {len(again)} of {len(units)} lines twice"
        yield Finding(rule="duplicate_characters", severity="warning", where="reply", message=message)


def _units(pieces: Sequence[str]) -> list[str]:
    """Folded pieces that hold a letter."""
    return [unit for piece in pieces if (unit := piece.strip().casefold()) and any(map(str.isalpha, unit))]


def _again(units: Sequence[str], time: int) -> list[str]:
    """Every unit from the `time`-th time on that it stands."""
    seen: Counter[str] = Counter()
    again = []
    for unit in units:
        seen[unit] += 1
        if seen[unit] >= time:
            again.append(unit)
    return again


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def _repeated_grams(prose: str) -> str | None:
    """Gopher's shares over the lines of prose: each once, without numbers, no word right after itself (a laugh)."""
    once = dict.fromkeys(line for line in prose.split("\n") if line.count(" ") >= PROSE_LINE_WORDS)
    said = [word for word in words("\n".join(once)) if not word.isdigit()]
    said = [word for place, word in enumerate(said) if place == 0 or said[place - 1] != word]
    whole = sum(map(len, said)) or 1
    for size, limit in TOP_GRAMS.items():
        gram, times = _grams(said, size).most_common(1)[0] if len(said) >= size else ((), 0)
        share = min(1.0, times * sum(map(len, gram)) / whole)
        limit = _for_length(limit, len(said), TOP_WORDS)
        if times >= TOP_TIMES and share > limit:
            return f"Expected one {size}-gram to make at most {limit:.0%} of the reply, found {share:.0%}"
    for size, limit in REPEATED_GRAMS.items():
        share = _repeated_share(said, size) / whole
        limit = _for_length(limit, len(said), REPEATED_WORDS)
        if share > limit:
            return f"Expected repeated {size}-grams to make at most {limit:.0%} of the reply, found {share:.0%}"
        if not share:
            break
    return None


def _for_length(limit: float, length: int, full: int) -> float:
    return limit + (1 - limit) * max(0.0, 1 - length / full)


def _grams(said: Sequence[str], size: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(said[at:] for at in range(size)), strict=False))


def _repeated_share(said: Sequence[str], size: int) -> int:
    """Characters in n-grams that stood before; what was counted is not counted again in the next n-gram."""
    seen: set[tuple[str, ...]] = set()
    place = characters = 0
    while place <= len(said) - size:
        gram = tuple(said[place : place + size])
        if gram in seen:
            characters += sum(map(len, gram))
            place += size
        else:
            seen.add(gram)
            place += 1
    return characters
