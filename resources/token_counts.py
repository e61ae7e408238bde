"""How many tokens conversations have, counted for many at once: one call of the fast tokenizer, one rendering each."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from core.conversation import Conversation
from core.rendering import ChatTokenizer, TemplateRefuses, prompt_messages, token_count


class BatchTokenizer(ChatTokenizer, Protocol):
    """A chat tokenizer that encodes many texts at once."""

    def encode_batch(self, texts: Sequence[str], /) -> list[list[int]]: ...

    def special_tokens(self) -> dict[str, int]:
        """Text → id of the tokens that split a text before anything else does."""
        ...


class Rendered(NamedTuple):
    """A conversation as the chat template writes it: the prompt, and the whole with its reply."""

    prompt: str
    whole: str


def token_counts(conversations: Sequence[Conversation], tokenizer: BatchTokenizer) -> list[int | None]:
    """What `core.rendering.token_count` gives for each; None where the template refuses the messages."""
    texts = rendered(conversations, tokenizer)
    return counted(conversations, texts, tokenizer.encode_batch(wholes(texts)), tokenizer)


def rendered(conversations: Sequence[Conversation], tokenizer: ChatTokenizer) -> list[Rendered | None]:
    """The texts that are counted; None where the template refuses the messages."""
    return [_rendered(conversation, tokenizer) for conversation in conversations]


def wholes(texts: Sequence[Rendered | None]) -> list[str]:
    """What is to be encoded of them, in their order."""
    return [text.whole for text in texts if text]


def counted(
    conversations: Sequence[Conversation],
    texts: Sequence[Rendered | None],
    ids: Sequence[list[int]],
    tokenizer: BatchTokenizer,
) -> list[int | None]:
    """The counts, once the `wholes` of the texts are encoded."""
    counter, encoded = _Counter(tokenizer), iter(ids)
    return [
        None if text is None else counter.count(conversation, text.prompt, text.whole, next(encoded))
        for conversation, text in zip(conversations, texts, strict=True)
    ]


def _rendered(conversation: Conversation, tokenizer: ChatTokenizer) -> Rendered | None:
    before: list[dict[str, Any]] = prompt_messages(conversation)
    whole = [*before, {"role": "assistant", "content": conversation.reply}]
    try:
        return Rendered(
            tokenizer.apply_chat_template(before, tokenize=False, add_generation_prompt=True),
            tokenizer.apply_chat_template(whole, tokenize=False, add_generation_prompt=False),
        )
    except TemplateRefuses:
        return None


class _Counter:
    """Takes the ids of the whole for the answer where they begin with those of the prompt, else counts one by one.

    Special tokens cut a text before anything is merged, so that ids up to the prompt's last special token are the same
    in both. What follows it in the prompt ("assistant" and a newline) is nearly always one text, encoded once.
    """

    def __init__(self, tokenizer: BatchTokenizer) -> None:
        self._tokenizer = tokenizer
        self._specials = tokenizer.special_tokens()
        self._ends = set(tokenizer.all_special_ids)
        self._find = re.compile("|".join(map(re.escape, sorted(self._specials, key=len, reverse=True))) or r"(?!)")
        self._tails: dict[str, list[int]] = {}

    def count(self, conversation: Conversation, prompt: str, whole: str, ids: list[int]) -> int:
        cuts = list(self._find.finditer(prompt))
        if cuts and whole.startswith(prompt):
            tail = self._tail(prompt[cuts[-1].start() :])
            begin = self._place_of(cuts, ids)
            length = self._end(ids)
            if begin is not None and ids[begin : begin + len(tail)] == tail and length > begin + len(tail):
                return length
        return token_count(conversation, self._tokenizer)

    def _place_of(self, cuts: Sequence[re.Match[str]], ids: list[int]) -> int | None:
        """Where the last of these special tokens stands."""
        place = -1
        try:
            for cut in cuts:
                place = ids.index(self._specials[cut.group()], place + 1)
        except ValueError:
            return None
        return place

    def _tail(self, text: str) -> list[int]:
        if text not in self._tails:
            if len(self._tails) > 1_000:
                self._tails.clear()
            self._tails[text] = list(self._tokenizer.encode(text, add_special_tokens=False))
        return self._tails[text]

    def _end(self, ids: list[int]) -> int:
        """How many ids there are up to the last special one, which ends the reply."""
        for length in range(len(ids), 0, -1):
            if ids[length - 1] in self._ends:
                return length
        return 0
