"""One turn of a chat on its way through the ingress, and what becomes of its reply."""

import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from core.conversation import Conversation, Message, Provenance
from serve.engine_client import Body

DONE = "[DONE]"
AGENT = "agent"


@dataclass(frozen=True)
class Turn:
    """What was asked; `keep` is False where the client does not want it stored. The id names its conversation.

    For an agent: `version` is what it asks, `caller` whose key the request came with, `features` what is known of the
    user. `dialogue` names the thread of who names none and sends all of it again with every turn.
    """

    messages: tuple[Message, ...]
    source: str
    model: str = "production"
    parameters: dict[str, Any] = field(default_factory=dict)
    user_id: str | None = None
    session_id: str | None = None
    thread_id: str | None = None
    dialogue: str | None = None
    keep: bool = True
    version: str = "production"
    caller: str = ""
    features: dict[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    asked_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def body(self, model: str, stream: bool) -> Body:
        """What the engine gets."""
        messages = [{"role": message.role, "content": message.content} for message in self.messages]
        counted = {"stream_options": {"include_usage": True}} if stream and model != "teacher" else {}
        return {**self.parameters, "model": model, "messages": messages, "stream": stream, **counted}

    @property
    def wants_usage(self) -> bool:
        """Whether the client asked a stream for the count of its tokens."""
        return bool((self.parameters.get("stream_options") or {}).get("include_usage"))

    def for_agent(self, version: str) -> dict[str, Any]:
        """What an agent gets beside the body: who asks, in which thread, and which version writes all of the reply.

        What is not to be kept belongs to no thread: a later turn would be captured with all that its thread remembers.
        """
        thread = self.thread_id or self.session_id if self.keep else None
        scope = {"caller": self.caller, "user_id": self.user_id, "thread_id": thread}
        return {"model": version, "features": self.features, **scope}

    def conversation(self, reply: str, model: str, provenance: Provenance, complete: bool) -> Conversation:
        return Conversation(
            id=self.id,
            messages=self.messages,
            reply=storable(reply),
            user_id=self.user_id,
            session_id=self.session_id,
            thread_id=self.thread_id or self.dialogue,
            source=self.source,
            provenance=provenance,
            model=model,
            complete=complete,
            created_at=self.asked_at,
        )


@dataclass
class Draft:
    """The reply as far as it has come; of several choices the first is the one that is kept."""

    text: str = ""
    finish: str | None = None
    failed: bool = False
    stored: bool = False

    @property
    def complete(self) -> bool:
        """Said to its end: an answer cut at the token limit would teach to stop early."""
        return self.finish == "stop" and not self.failed

    def read(self, choices: Any) -> bool:
        """Take over one chunk of a stream, or a whole answer; whether it said something."""
        before = len(self.text)
        for choice in choices if isinstance(choices, list) else ():
            if choice.get("index", 0) == 0:
                said = choice.get("delta") or choice.get("message") or {}
                self.text += said.get("content") or ""
                self.finish = choice.get("finish_reason") or self.finish
        return len(self.text) > before


def storable(text: str) -> str:
    """Without what the store cannot hold: NUL and half characters."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def events(item: str) -> list[str]:
    """The data of each server-sent event in a piece of a stream.

    JSON may hold what Python counts as ends of lines and the protocol does not: U+2028, U+2029, U+0085.
    """
    return [line.removeprefix("data:").strip() for line in item.split("\n") if line.startswith("data:")]


def event(data: Any) -> str:
    """One server-sent event."""
    return f"data: {data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)}\n\n"
