"""What is strict JSON is read as ever; what is not is named with its place."""

import json
import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.strict_json import MAX_DEPTH, JsonRefused, decoded, parse_strict

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5), inner, max_size=3),
    max_leaves=15,
)  # fmt: skip
ODD = ['{"a":1}', '{"a":1,"a":2}', "[", "]", "{", "}", ",", ":", '"', "\\", "\\u", "d800", "dc00", "\\ud83d\\ude00",
       "0", "-", "1e999", "NaN", "-Infinity", "true", "null", " ", "\n", "\0", "\\u0000", "é", "😀", "x"]  # fmt: skip


@given(value=values, ascii=st.booleans())
def test_sound_json_is_read_as_it_was_written(value: Any, ascii: bool) -> None:
    assert parse_strict(json.dumps(value, ensure_ascii=ascii)) == value


@given(text=st.lists(st.sampled_from(ODD), max_size=12).map("".join) | st.text(max_size=20))
def test_whatever_is_read_json_reads_the_same_and_it_can_be_stored(text: str) -> None:
    with suppress(JsonRefused):
        value = parse_strict(text)
        assert value == json.loads(text)
        written = json.dumps(value, ensure_ascii=False, allow_nan=False)
        assert "\\u0000" not in written
        written.encode()


@given(text=st.lists(st.sampled_from(ODD), max_size=12).map("".join))
def test_what_is_refused_is_no_json_or_breaks_a_rule_at_a_place_in_the_text(text: str) -> None:
    try:
        parse_strict(text)
    except JsonRefused as refused:
        place, rule = refused.at, refused.rule
    else:
        return
    assert 0 <= place <= len(text)
    if rule == "invalid_json":
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)


@pytest.mark.parametrize(
    ("text", "rule", "line", "column"),
    [
        ('{"a": 1, "b": 2, "a": 3}', "duplicate_key", 1, 18),
        ('{"a": 1, "\\u0061": 3}', "duplicate_key", 1, 10),
        ('{"a": {"b": 1}, "c": [{"b": 1}, {"b": 1,\n "b": 2}]}', "duplicate_key", 2, 2),
        ('{"a": NaN}', "not_a_number", 1, 7),
        ("[1, -Infinity]", "not_a_number", 1, 5),
        ('{"NaN": [1e999]}', "number_too_large", 1, 10),
        ("[" + "1" * 1001 + "]", "number_too_long", 1, 2),
        ("[" * 33 + "]" * 33, "too_deep", 1, 33),
        ("[" * 10_000 + "]" * 10_000, "too_deep", 1, 33),
        ("[" * 100_000, "too_deep", 1, 33),
        ('{"a":' * 10_000 + "1" + "}" * 10_000, "too_deep", 1, 161),
        ('["a\\ud800b"]', "lone_surrogate", 1, 4),
        ('["\\udc00\\ud800"]', "lone_surrogate", 1, 3),
        ('["\\\\ud83d\\udc00"]', "lone_surrogate", 1, 10),
        ('{"\\ud800": 1}', "lone_surrogate", 1, 3),
        ('["a\\u0000"]', "nul", 1, 4),
        ('["a\0"]', "nul", 1, 4),
        ('["a",]', "invalid_json", 1, 6),
        ('{"a": 1', "invalid_json", 1, 8),
        ("", "invalid_json", 1, 1),
        ('{"a": 1}\n{"a": 1}', "invalid_json", 2, 1),
    ],
)
def test_what_is_not_strict_is_refused_with_its_place(text: str, rule: str, line: int, column: int) -> None:
    with pytest.raises(JsonRefused) as refused:
        parse_strict(text)
    assert (refused.value.rule, refused.value.line, refused.value.column) == (rule, line, column)


@pytest.mark.parametrize("text", ['"\\ud83d\\ude00"', '"\\\\ud800"', "[" * MAX_DEPTH + "]" * MAX_DEPTH, "1" * 1000])
def test_what_only_looks_odd_is_read(text: str) -> None:
    assert parse_strict(text) == json.loads(text)


def test_a_nul_is_let_through_where_the_reader_checks_it() -> None:
    assert parse_strict('"\\u0000"', nul=True) == "\0"
    with pytest.raises(JsonRefused, match="NaN"):
        parse_strict('["\\u0000", NaN]', nul=True)


def test_the_first_byte_that_is_no_utf8_has_its_column_in_characters() -> None:
    with pytest.raises(JsonRefused) as refused:
        decoded('{"가": "'.encode() + b"\xff")
    assert (refused.value.rule, refused.value.column) == ("invalid_utf8", 8)
    assert decoded(b"\xef\xbb\xbf1") == "1"
    with pytest.raises(JsonRefused, match="at 4") as refused:
        decoded(b"\xef\xbb\xbfa\xff")
    assert refused.value.column == 2


def test_a_float_keeps_its_value() -> None:
    assert math.isclose(parse_strict("0.1"), 0.1)
