"""A model behind an OpenAI-compatible address, for an agent outside of serving."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from wrappers.agent_run import Ask, Message, Piece


def openai_ask(base_url: str | None = None, api_key: str | None = None) -> Ask:
    """Without arguments as the OpenAI client is configured: OPENAI_BASE_URL and OPENAI_API_KEY. Nothing is captured."""

    async def ask(
        model: str, messages: Sequence[Message], parameters: Mapping[str, Any]
    ) -> AsyncGenerator[Piece, None]:
        from openai import AsyncOpenAI

        client: Any = AsyncOpenAI(base_url=base_url, api_key=api_key, max_retries=0)
        async with client:
            stream = await client.chat.completions.create(
                model=model, messages=list(messages), stream=True, store=False, **parameters
            )
            async with stream:
                async for chunk in stream:
                    for choice in chunk.choices[:1]:
                        yield Piece(choice.delta.content or "", choice.finish_reason)

    return ask
