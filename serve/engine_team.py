"""Engines of different sizes behind one EngineClient."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from serve.engine_client import Body, EngineBusy, EngineClient, EngineUnavailable, HandleEngine, Item

Answer = TypeVar("Answer")


@dataclass
class Member:
    """An engine, how large it is beside the others, and how many requests it works on for us."""

    engine: EngineClient
    share: float
    running: int = 0

    @property
    def load(self) -> float:
        """With one request more."""
        return (self.running + 1) / self.share


class EngineTeam:
    """Implements EngineClient. A request goes to whoever has least to do for its size; adapters go to all.

    An engine that is away or full is passed over before anything was said; the one that comes back holds what was
    served last before it is called ready.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = list(members)

    async def chat(self, body: Body) -> AsyncGenerator[Item, None]:
        by_load = sorted(self._members, key=lambda member: member.load)
        for member in by_load:
            said = False
            member.running += 1
            try:
                async with aclosing(member.engine.chat(body)) as items:
                    async for item in items:
                        said = True
                        yield item
                return
            except (EngineUnavailable, EngineBusy):
                if said or member is by_load[-1]:
                    raise
            finally:
                member.running -= 1

    async def ensure(self, name: str, pinned: list[str]) -> dict[str, Any]:
        done = await self._of_all(lambda engine: engine.ensure(name, pinned))
        return {"loaded": any(one["loaded"] for one in done), "seconds": max(one["seconds"] for one in done)}

    async def loaded(self) -> list[str]:
        found = await self._of_all(lambda engine: engine.loaded())
        return list(dict.fromkeys(name for names in found for name in names))

    async def ready(self) -> dict[str, Any]:
        """The work of all of them; what they hold is what every one of them holds."""
        facts = await self._of_all(lambda engine: engine.ready())
        folded = {one.get("folded") for one in facts}
        return {
            **facts[0],
            "max_model_len": min(one["max_model_len"] for one in facts),
            "unfinished": sum(one["unfinished"] for one in facts),
            "folded": folded.pop() if len(folded) == 1 else None,
        }

    async def _of_all(self, ask: Callable[[EngineClient], Coroutine[Any, Any, Answer]]) -> list[Answer]:
        asked = (ask(member.engine) for member in self._members)
        found = await asyncio.gather(*asked, return_exceptions=True)
        errors = [one for one in found if isinstance(one, BaseException)]
        refusals = [error for error in errors if not isinstance(error, EngineUnavailable)]
        if refusals or len(errors) == len(found):
            raise (refusals or errors)[0]
        return [one for one in found if not isinstance(one, BaseException)]


def client_of(engine: Any) -> EngineClient:
    """The client of a Serve handle, or of a list of handles, each with the size of its engine."""
    if isinstance(engine, list):
        return EngineTeam([Member(HandleEngine(handle), share) for handle, share in engine])
    return HandleEngine(engine)
