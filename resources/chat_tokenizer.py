"""The base model's tokenizer and chat template without transformers or torch: enough to count tokens."""

import json
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.rendering import TemplateRefuses


class ChatTokenizer:
    """What `core.rendering` asks of a tokenizer, with the ids that transformers gives."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        self._specials = {
            key: _content(value) for key, value in config.items() if key.endswith("_token") and _content(value)
        }
        self._template = _compiled(_template_text(folder, config))
        extra = config.get("additional_special_tokens") or config.get("extra_special_tokens") or []
        named = [*self._specials.values(), *map(_content, extra.values() if isinstance(extra, dict) else extra)]
        ids = {self._tokenizer.token_to_id(token) for token in named}
        self._special_ids: list[int] = sorted(number for number in ids if number is not None)

    @property
    def all_special_ids(self) -> Sequence[int]:
        return self._special_ids

    def apply_chat_template(
        self,
        conversation: list[dict[str, str]],
        /,
        *,
        tokenize: bool = True,
        add_generation_prompt: bool = False,
        return_dict: bool = False,
    ) -> Any:
        """Text, or its ids when `tokenize`; nothing is added that the template does not say."""
        from jinja2 import TemplateError

        try:
            text = self._template.render(
                messages=conversation, add_generation_prompt=add_generation_prompt, tools=None, **self._specials
            )
        except TemplateError as refusal:
            raise TemplateRefuses(f"Expected messages that the chat template takes, found: {refusal}") from refusal
        return self.encode(text) if tokenize else text

    def encode(self, text: str, /, *, add_special_tokens: bool = False) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=add_special_tokens).ids)

    def encode_batch(self, texts: Sequence[str], /) -> list[list[int]]:
        """The ids of each text, worked out on all cores at once."""
        return [found.ids for found in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def special_tokens(self) -> dict[str, int]:
        """Text → id of the tokens that split a text before anything else does."""
        return {str(token): number for number, token in self._tokenizer.get_added_tokens_decoder().items()}


def _content(token: Any) -> str:
    found = token.get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else ""


@lru_cache(maxsize=4)
def chat_tokenizer(folder: Path) -> ChatTokenizer:
    """The tokenizer of a base model folder, read once."""
    return ChatTokenizer(folder)


def _template_text(folder: Path, config: dict[str, Any]) -> str:
    path = folder / "chat_template.jinja"
    text = path.read_text(encoding="utf-8") if path.is_file() else config.get("chat_template")
    if isinstance(text, list):
        text = next((named["template"] for named in text if named["name"] == "default"), None)
    if not isinstance(text, str):
        raise ValueError(f"Expected a chat template in {folder}, found none: use the instruct variant of the model")
    return text


def _compiled(text: str) -> Any:
    """The template under the rules transformers compiles it with."""
    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}` marks what the assistant wrote; for text and ids it changes nothing."""

        tags = {"generation"}  # noqa: RUF012 - jinja's own interface

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True)).set_lineno(line)

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, **{"ensure_ascii": False, **options})
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().astimezone().strftime(form)
    return environment.from_string(text)
