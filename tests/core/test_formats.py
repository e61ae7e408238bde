"""The round trip is the claim: what a format can hold comes back as it was, and what it cannot is named."""

from contextlib import suppress
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.axolotl import axolotl_config
from core.conversation import Conversation, Message
from core.formats import (
    EXPORT_FORMATS,
    Columns,
    ExportFormat,
    FormatUnknown,
    ImportFormat,
    RecordRefused,
    detect_format,
    format_of,
)
from core.formats_in import to_conversations
from core.formats_out import METADATA, export
from tests.core.examples import NOON, conversation, talk

FIELDS: dict[str, Any] = {"source": "file", "provenance": "human", "created_at": NOON}
USER, SAID = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}

PARTS = [{"type": "text", "text": "Why"}, {"type": "text", "text": "?"}]

# the way back of every way out, and the columns that a reader is told
BACK: dict[ExportFormat, tuple[ImportFormat, Columns]] = {
    "messages": ("messages", Columns()),
    "sharegpt": ("sharegpt", Columns()),
    "alpaca": ("alpaca", Columns()),
    "prompt_completion": ("prompt_completion", Columns()),
    "kto": ("prompt_completion", Columns()),
    "dpo": ("prompt_completion", Columns(completion="rejected")),
}

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
any_turns = st.lists(st.builds(Message, role=st.sampled_from(["system", "user", "assistant", "tool"]), content=texts),
                     min_size=1, max_size=7)  # fmt: skip
usual_turns = st.builds(
    lambda contents, system: talk(*contents[: len(contents) - 1 + len(contents) % 2], system=system),
    st.lists(texts, min_size=1, max_size=7),
    st.none() | texts,
)
conversations = st.builds(
    conversation, messages=(usual_turns | any_turns).map(tuple), question=texts, reply=texts
)  # fmt: skip


def read(format: ImportFormat, record: dict[str, Any], columns: Columns = Columns()) -> list[Conversation]:  # noqa: B008
    return to_conversations(format, record, columns, id="t", **FIELDS)


def openai(one: Conversation) -> Any:
    return export("messages", one).record


@pytest.mark.parametrize("format", EXPORT_FORMATS)
@settings(max_examples=60)
@given(one=conversations)
def test_what_a_format_holds_comes_back_as_it_was(format: ExportFormat, one: Conversation) -> None:
    record, lost = export(format, one, liked=True, corrected=one.reply + "!")
    if record is None:
        assert format == "alpaca"
        assert lost
        return
    name, columns = BACK[format]
    assert detect_format(record, columns) == name
    [back] = read(name, record, columns)
    assert openai(back) == openai(one)


@given(one=st.builds(conversation, messages=usual_turns, reply=texts))
def test_alpaca_refuses_no_usual_thread_but_one_with_an_empty_system_text(one: Conversation) -> None:
    empty = one.messages[0] == Message(role="system", content="")
    assert (export("alpaca", one).record is None) == empty


@pytest.mark.parametrize("format", EXPORT_FORMATS)
def test_every_field_that_is_set_is_held_or_named(format: ExportFormat) -> None:
    one = conversation(user_id="u", session_id="s", thread_id="t", model="v3", complete=False)
    record, lost = export(format, one, liked=True, corrected="Better.")
    assert record is not None
    assert {loss.name for loss in lost} | (set(record) & set(METADATA)) == set(METADATA)


def test_what_is_not_set_is_no_loss() -> None:
    assert {loss.name for loss in export("messages", conversation()).lost} == {
        "id",
        "source",
        "provenance",
        "created_at",
    }


@pytest.mark.parametrize(
    ("messages", "name"),
    [
        ((*talk("a", "b"), Message(role="tool", content="42")), "tool_messages"),
        (talk("a", "b"), "order_of_turns"),
        ((*talk("a"), *talk("b", system="s")), "order_of_turns"),
        (talk("a", system=""), "empty_system"),
    ],
)
def test_alpaca_names_the_text_it_cannot_hold_and_writes_nothing(messages: tuple[Message, ...], name: str) -> None:
    record, lost = export("alpaca", conversation(messages=messages))
    assert record is None
    assert name in {loss.name for loss in lost}


def test_alpaca_says_that_its_history_may_be_learned() -> None:
    assert "weight" in {loss.name for loss in export("alpaca", conversation(messages=talk("a", "b", "c"))).lost}
    assert "weight" not in {loss.name for loss in export("alpaca", conversation()).lost}


def test_preferences_are_exported_only_where_a_person_gave_them() -> None:
    assert export("kto", conversation()).record is None
    assert export("kto", conversation(), liked=False).record == {
        "prompt": [{"role": "user", "content": "Why is the sky blue?"}],
        "completion": [{"role": "assistant", "content": "Rayleigh."}],
        "label": False,
    }
    assert export("dpo", conversation()).record is None
    assert export("dpo", conversation(), corrected="Rayleigh.").record is None
    pair = export("dpo", conversation(), corrected="Rayleigh scattering.").record
    assert pair is not None
    assert (pair["chosen"][0]["content"], pair["rejected"][0]["content"]) == ("Rayleigh scattering.", "Rayleigh.")


def test_every_reply_of_a_thread_is_learned_once() -> None:
    thread = {"messages": [USER, SAID, USER, {"role": "assistant", "content": "So."}], "user_id": "u1"}
    first, second = read("messages", thread)
    assert (first.id, first.reply, first.thread_id) == ("t.1", "Because.", "t")
    assert (second.id, second.reply, len(second.messages), second.user_id) == ("t.2", "So.", 3, "u1")


def test_an_answer_of_weight_zero_is_context() -> None:
    [one] = read("messages", {"messages": [USER, {**SAID, "weight": 0}, USER, SAID]})
    assert [m.role for m in one.messages] == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    ("record", "format", "asked", "reply"),
    [
        ({"messages": [USER, SAID]}, "messages", "Why?", "Because."),
        ({"conversations": [USER, SAID]}, "messages", "Why?", "Because."),
        ({"messages": [USER], "reply": "So."}, "messages", "Why?", "So."),
        ({"messages": [{"role": "user", "content": PARTS}, SAID]}, "messages", "Why?", "Because."),
        ({"conversations": [{"from": "human", "value": "왜?"}, {"from": "gpt", "value": "그냥."}]},
         "sharegpt", "왜?", "그냥."),
        ({"instruction": "Sum", "input": "", "output": "3"}, "alpaca", "Sum", "3"),
        ({"instruction": "Sum", "input": "1 2", "output": "3"}, "alpaca", "Sum\n1 2", "3"),
        ({"instruction": "Sum", "input": None, "output": "3"}, "alpaca", "Sum", "3"),
        ({"prompt": "Why?", "completion": "So."}, "prompt_completion", "Why?", "So."),
        ({"prompt": [USER], "completion": [SAID]}, "prompt_completion", "Why?", "Because."),
    ],
)  # fmt: skip
def test_a_format_is_recognised_and_read(record: dict[str, Any], format: ImportFormat, asked: str, reply: str) -> None:
    assert detect_format(record) == format
    [one] = read(format, record)
    assert (one.last_user, one.reply, one.id) == (asked, reply, "t")


def test_the_history_of_alpaca_is_context_and_its_system_text_stands_first() -> None:
    [one] = read("alpaca", {"system": "S", "history": [["a", "b"]], "instruction": "c", "input": "", "output": "d"})
    assert [(m.role, m.content) for m in one.messages] == [
        ("system", "S"), ("user", "a"), ("assistant", "b"), ("user", "c")
    ]  # fmt: skip


def test_columns_of_other_names_are_mapped() -> None:
    columns = Columns(instruction="question", output="answer", user_id="author")
    record = {"question": "Why?", "answer": "So.", "author": 7}
    assert detect_format(record) is None
    assert detect_format(record, columns) == "alpaca"
    [one] = read("alpaca", record, columns)
    assert (one.last_user, one.user_id) == ("Why?", "7")


def test_a_wrong_guess_is_overridden_by_naming_the_format() -> None:
    record = {"instruction": "x", "output": "y", "prompt": "Why?", "completion": "So."}
    assert detect_format(record) == "alpaca"
    assert read("prompt_completion", record)[0].reply == "So."


def test_a_record_keeps_its_own_id_where_none_is_given() -> None:
    turns = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]
    [one] = to_conversations("sharegpt", {"id": "mine", "conversations": turns}, **FIELDS)
    assert one.id == "mine"
    with pytest.raises(RecordRefused, match="expected an id"):
        to_conversations("sharegpt", {"conversations": turns}, **FIELDS)


@pytest.mark.parametrize(
    ("format", "record", "rule", "where"),
    [
        ("sharegpt", {"conversations": [{"from": "bing", "value": "a"}]}, "unknown_role", "conversations[0].from"),
        ("sharegpt", {"conversations": [{"from": "user", "value": "a"}]}, "unknown_role", "conversations[0].from"),
        ("sharegpt", {"conversations": [{"from": "human", "value": 3}]}, "not_text", "conversations[0].value"),
        ("sharegpt", {"conversations": [{"from": "gpt", "value": "a"}]}, "reply_to_nothing", "record"),
        ("sharegpt", {"conversations": [{"from": "human", "value": "a"}]}, "thread_without_reply", "conversations"),
        ("sharegpt", {"conversations": ["a"]}, "not_an_object", "conversations[0]"),
        ("sharegpt", {}, "not_a_list", "conversations"),
        ("messages", {"messages": []}, "thread_without_reply", "messages"),
        ("messages", {"messages": [USER, {**SAID, "tool_calls": [1]}]}, "tool_calls", "messages[1].tool_calls"),
        ("messages", {"messages": [USER, {**SAID, "weight": 2}]}, "weight", "messages[1].weight"),
        ("messages", {"messages": [USER, {**SAID, "weight": 0}]}, "nothing_to_learn", "record"),
        ("messages", {"messages": [{"role": ["user"], "content": "a"}]}, "unknown_role", "messages[0].role"),
        ("messages", {"messages": [USER, {"role": "assistant", "content": "a\ud800"}]}, "invalid_value",
         "messages[1].content"),
        ("messages", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "not_text",
         "messages[0].content[0]"),
        ("alpaca", {"instruction": "a", "output": None}, "not_text", "output"),
        ("alpaca", {"instruction": "a", "output": "b", "history": [["a"]]}, "not_a_pair", "history[0]"),
        ("alpaca", {"instruction": "a", "output": "b", "history": {"a": 1}}, "not_a_list", "history"),
        ("prompt_completion", {"prompt": "a", "completion": "b", "label": False}, "undesirable", "label"),
        ("prompt_completion", {"prompt": "a", "completion": [SAID]}, "not_a_list", "prompt"),
        ("prompt_completion", {"prompt": [USER], "completion": [USER]}, "thread_without_reply", "completion"),
    ],
)  # fmt: skip
def test_a_record_that_its_format_cannot_mean_is_refused(
    format: ImportFormat, record: dict[str, Any], rule: str, where: str
) -> None:
    with pytest.raises(RecordRefused) as refused:
        read(format, record)
    assert (refused.value.rule, refused.value.where) == (rule, where)


def test_a_refusal_repeats_no_text_of_the_record() -> None:
    with pytest.raises(RecordRefused) as refused:
        read("sharegpt", {"conversations": [{"from": "secret-name", "value": "secret text"}]})
    assert "secret" not in str(refused.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["role", "content", "from", "value", "weight", "tool_calls", "type", "text"]), inner, max_size=4
    ),
    max_leaves=12,
)  # fmt: skip
COLUMNS = sorted(set(Columns().model_dump().values()) - {None} | {"messages", "conversations"})


@pytest.mark.parametrize("format", ["messages", "sharegpt", "alpaca", "prompt_completion"])
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=40)
@given(record=st.dictionaries(st.sampled_from(COLUMNS), json_values, max_size=6))
def test_any_json_object_is_read_or_refused(format: ImportFormat, record: dict[str, Any]) -> None:
    detect_format(record)
    with suppress(RecordRefused):
        assert read(format, record)


def test_a_file_has_one_format() -> None:
    alpaca, pair = {"instruction": "a", "output": "b"}, {"prompt": "a", "completion": "b"}
    assert format_of([alpaca, {"noise": 1}, alpaca]) == "alpaca"
    with pytest.raises(FormatUnknown, match="alpaca and prompt_completion"):
        format_of([alpaca, pair])
    with pytest.raises(FormatUnknown, match="columns of none"):
        format_of([{"noise": 1}])


@pytest.mark.parametrize("format", ["messages", "sharegpt"])
@settings(max_examples=30)
@given(name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_the_axolotl_config_names_the_fields_of_its_file(format: ExportFormat, name: str) -> None:
    config = yaml.safe_load(axolotl_config(format, name, "org/base"))
    [dataset] = config["datasets"]
    record = export(format, conversation(messages=talk("a", "b", "c"))).record
    assert record is not None
    assert (config["base_model"], dataset["path"], dataset["type"]) == ("org/base", name, "chat_template")
    turns = record[dataset["field_messages"]]
    assert {turn[dataset["message_property_mappings"]["role"]] for turn in turns} <= {
        name for names in dataset["roles"].values() for name in names
    }
    learned = [turn for turn in turns if turn.get(dataset["message_field_training"], 1)]
    assert learned[-1][dataset["message_property_mappings"]["content"]] == "Rayleigh."
    assert len([turn for turn in learned if turn[dataset["message_property_mappings"]["role"]] in
                dataset["roles"]["assistant"]]) == 1  # fmt: skip


def test_axolotl_has_no_config_for_formats_without_turns() -> None:
    with pytest.raises(ValueError, match="messages or sharegpt"):
        axolotl_config("kto", "data.jsonl", "base")


def test_a_thread_whose_replies_repeat_too_much_is_refused_before_it_is_cut_up() -> None:
    turns = [{"role": role, "content": "a"} for _ in range(20_000) for role in ("user", "assistant")]
    with pytest.raises(RecordRefused) as refused:
        to_conversations("messages", {"messages": turns}, id="t", **FIELDS)
    assert refused.value.rule == "thread_too_long"
    few = {"messages": turns[:1000]}
    assert len(to_conversations("messages", few, id="t", **FIELDS)) == 500
