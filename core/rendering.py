"""From a conversation to token ids, with loss on the last reply alone."""

from dataclasses import dataclass
from typing import Any, Protocol

from core.conversation import Conversation

IGNORED = -100


class ChatTokenizer(Protocol):
    """The one method needed of a Hugging Face tokenizer."""

    def apply_chat_template(self, conversation: list[dict[str, str]], /, **options: Any) -> Any: ...


@dataclass(frozen=True)
class Rendered:
    """`labels` equals `input_ids` on the reply and its end-of-turn token and is -100 elsewhere."""

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]


def render(conversation: Conversation, tokenizer: ChatTokenizer, max_length: int) -> Rendered:
    raise NotImplementedError
