"""Every reason why a conversation is left out or marked, by its stable code, with one sentence for people.

`kind`: `capture` decides at capture whether a conversation is eligible; `error` rejects it in screening; `warning`
marks it. `final` reasons hold also where a person released the conversation: it could not be rendered, or would spoil
the gate.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

Kind = Literal["capture", "error", "warning"]


class Reason(NamedTuple):
    """One code's meaning."""

    kind: Kind
    sentence: str
    final: bool = False


REASONS: Mapping[str, Reason] = MappingProxyType(
    {
        # at capture
        "incomplete": Reason("capture", "The reply was cut off, by a limit or a broken connection", final=True),
        "provenance": Reason("capture", "Replies of this provenance are not admitted"),
        "own_reply_without_feedback": Reason("capture", "The model's own reply, and nobody said that it was good"),
        "duplicate": Reason("capture", "The same question with the same reply is there already"),
        "personal_data": Reason("capture", "It named a unique identifier of a person; masked, it waits for a review"),
        "superseded": Reason("capture", "A person's correction stands in its place", final=True),
        # form
        "several_systems": Reason("error", "More than one system message", final=True),
        "system_not_first": Reason("error", "The system message does not stand first", final=True),
        "no_user_message": Reason("error", "No message of the user", final=True),
        "first_not_user": Reason("error", "It does not begin with the user", final=True),
        "roles_not_alternating": Reason("error", "User and assistant do not take turns", final=True),
        "last_not_user": Reason("error", "The message before the reply is not the user's", final=True),
        "empty_message": Reason("error", "A message without text", final=True),
        "empty_reply": Reason("error", "A reply without text", final=True),
        "replacement_character": Reason("error", "Text that was decoded wrongly (U+FFFD)"),
        "template_leakage": Reason("error", "Marks of a chat template stand in the text", final=True),
        "reply_repeats_user": Reason("error", "The reply is the question itself"),
        "unclosed_code_fence": Reason("error", "A code fence is not closed: the reply was cut off"),
        "too_many_tokens": Reason("error", "Longer than the model is trained on; it is not cut", final=True),
        "template_refuses": Reason("error", "The base model's chat template does not take it", final=True),
        # content
        "looping": Reason("error", "The reply goes round in circles"),
        "repeated_lines": Reason("error", "The same lines or sentences stand again and again"),
        "repeated_paragraphs": Reason("error", "The same paragraphs stand again"),
        "repeated_words": Reason("error", "A few phrases make too much of the reply"),
        "lorem_ipsum": Reason("error", "Placeholder text that nobody asked for"),
        "too_many_symbols": Reason("error", "Too many ellipses or # for so few words"),
        "too_many_ellipses": Reason("error", "Too many lines trail off in an ellipsis"),
        "mostly_symbols": Reason("error", "Hardly a letter in the reply"),
        "language_mismatch": Reason("error", "The reply is in another language than the question, unasked"),
        "contaminated": Reason("error", "The gate measures with this text", final=True),
        # among the others
        "both_sides": Reason("error", "It would join the trained and the held-out side", final=True),
        "cap_user": Reason("error", "Enough of this user is in the dataset"),
        "cap_cluster": Reason("error", "Enough that says nearly the same is in the dataset"),
        "cap_self": Reason("error", "Enough of the dataset was written by the model itself"),
        "cap_refusal": Reason("error", "Enough of the dataset refuses"),
        # marks
        "refusal": Reason("warning", "The reply declines, or speaks of itself as an AI"),
        "toxic_words": Reason("warning", "Words of abuse stand in it"),
        "personal_data_masked": Reason("warning", "Personal data was replaced by placeholders"),
        "only_bullets": Reason("warning", "Nearly every line is a bullet"),
        "duplicate_characters": Reason("warning", "Long lines stand twice"),
    }
)


def sentence(code: str) -> str:
    """What the code means; an unknown code (an earlier version's) is its own sentence."""
    return REASONS[code].sentence if code in REASONS else code.replace("_", " ")
