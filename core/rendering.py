"""From a conversation to token ids, with loss on the last reply alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from core.conversation import Conversation

IGNORED = -100


class TemplateRefuses(ValueError):
    """The chat template of the base model does not take these messages."""


class ChatTokenizer(Protocol):
    """What is needed of a Hugging Face tokenizer."""

    @property
    def all_special_ids(self) -> Sequence[int]: ...

    def apply_chat_template(self, conversation: list[dict[str, str]], /, **options: Any) -> Any: ...

    def encode(self, text: str, /, **options: Any) -> Any: ...


@dataclass(frozen=True)
class Rendered:
    """`labels` equals `input_ids` on the reply and its end-of-turn token and is -100 elsewhere."""

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]


def render(conversation: Conversation, tokenizer: ChatTokenizer, max_length: int | None = None) -> Rendered:
    """The ids the model sees when it is trained; ValueError when they are too many or the template has no prefix."""
    prompt, completion = _prompt_and_completion(conversation, tokenizer)
    turn = completion[: _end_of_turn(conversation.id, completion, tokenizer)]
    length = len(prompt) + len(turn)
    if max_length is not None and length > max_length:
        raise ValueError(
            f"Expected at most {max_length} tokens in conversation {conversation.id}, found {length}: "
            "reject it before training, an answer is never cut"
        )
    return Rendered(input_ids=prompt + turn, labels=(IGNORED,) * len(prompt) + turn)


def token_count(conversation: Conversation, tokenizer: ChatTokenizer) -> int:
    """How many ids `render` gives when nothing limits it."""
    prompt, completion = _prompt_and_completion(conversation, tokenizer)
    return len(prompt) + _end_of_turn(conversation.id, completion, tokenizer)


def prompt_messages(conversation: Conversation) -> list[dict[str, str]]:
    """The messages before the reply as the template and the engine take them."""
    return [{"role": m.role, "content": m.content} for m in conversation.messages]


def _prompt_and_completion(
    conversation: Conversation, tokenizer: ChatTokenizer
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    before = prompt_messages(conversation)
    whole = [*before, {"role": "assistant", "content": conversation.reply}]
    prompt = _ids(tokenizer, before, add_generation_prompt=True)
    full = _ids(tokenizer, whole, add_generation_prompt=False)
    if full[: len(prompt)] == prompt:
        return prompt, full[len(prompt) :]
    # a reply that begins with white space can merge with the prompt's last token; the engine never merges them
    prompt_text = tokenizer.apply_chat_template(before, tokenize=False, add_generation_prompt=True)
    full_text = tokenizer.apply_chat_template(whole, tokenize=False, add_generation_prompt=False)
    if not full_text.startswith(prompt_text):
        raise ValueError(
            f"Expected the chat template to begin conversation {conversation.id} with its own prompt, found that it "
            "rewrites earlier turns or adds text before the reply: use a base model whose template does not"
        )
    return prompt, tuple(tokenizer.encode(full_text[len(prompt_text) :], add_special_tokens=False))


def _ids(tokenizer: ChatTokenizer, messages: list[dict[str, str]], *, add_generation_prompt: bool) -> tuple[int, ...]:
    # return_dict=False: transformers 5 answers with a BatchEncoding otherwise
    ids = tokenizer.apply_chat_template(
        messages, tokenize=True, return_dict=False, add_generation_prompt=add_generation_prompt
    )
    return tuple(ids)


def _end_of_turn(conversation_id: str, completion: tuple[int, ...], tokenizer: ChatTokenizer) -> int:
    """How much of the completion the model must write itself: templates put a newline after the end-of-turn token."""
    special = set(tokenizer.all_special_ids)
    last = max((index for index, token in enumerate(completion) if token in special), default=None)
    if last is None:
        raise ValueError(
            f"Expected the chat template to end the reply of conversation {conversation_id} with a special token, "
            "found none: the model would never learn to stop"
        )
    return last + 1
