"""Engines of two sizes behind one client."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from serve.engine_client import AdapterNotServed, Body, EngineBusy, EngineUnavailable, Item
from serve.engine_team import EngineTeam, Member

pytestmark = pytest.mark.anyio


class Named:
    """An engine that says who it is, or raises `error`, `late` after its first words."""

    def __init__(self, name: str, error: Exception | None = None, *, late: bool = False) -> None:
        self.name, self.error, self.late = name, error, late
        self.held: list[str] = []
        self.folded: str | None = None

    async def chat(self, body: Body) -> AsyncGenerator[Item, None]:
        if self.error and not self.late:
            raise self.error
        yield self.name
        if self.error:
            raise self.error
        yield "end"

    async def ensure(self, name: str, pinned: list[str]) -> dict[str, Any]:
        if self.error:
            raise self.error
        self.held.append(name)
        return {"loaded": self.name == "small", "seconds": float(len(self.name))}

    async def loaded(self) -> list[str]:
        if self.error:
            raise self.error
        return [*self.held, self.name]

    async def ready(self) -> dict[str, Any]:
        if self.error:
            raise self.error
        small = self.name == "small"
        return {
            "model": "m",
            "max_model_len": 512 if small else 2048,
            "unfinished": 1 if small else 5,
            "folded": self.folded,
        }


def team(large: Named, small: Named) -> EngineTeam:
    return EngineTeam([Member(large, 0.6), Member(small, 0.2)])


async def answered(of: EngineTeam) -> list[Item]:
    return [item async for item in of.chat({})]


async def test_requests_are_shared_out_by_size() -> None:
    both = team(Named("large"), Named("small"))
    open_ones = [both.chat({}) for _ in range(8)]
    first = [await anext(one) for one in open_ones]
    assert first.count("large") == 6
    for one in open_ones:
        await one.aclose()
    assert [member.running for member in both._members] == [0, 0]


@pytest.mark.parametrize("error", [EngineUnavailable("away"), EngineBusy("full")])
async def test_one_that_cannot_answer_is_passed_over_unless_it_has_begun(error: Exception) -> None:
    assert await answered(team(Named("large", error), Named("small"))) == ["small", "end"]
    with pytest.raises(type(error)):
        await answered(team(Named("large", error), Named("small", error)))
    async with aclosing(team(Named("large", error, late=True), Named("small")).chat({})) as items:
        assert await anext(items) == "large"
        with pytest.raises(type(error)):  # half a reply is never followed by another's
            await anext(items)


async def test_an_adapter_goes_to_all_and_a_refusal_of_one_is_the_teams() -> None:
    large, small = Named("large"), Named("small")
    assert await team(large, small).ensure("v1", []) == {"loaded": True, "seconds": 5.0}
    assert (large.held, small.held) == (["v1"], ["v1"])
    assert await team(large, small).loaded() == ["v1", "large", "small"]
    with pytest.raises(AdapterNotServed):
        await team(large, Named("small", AdapterNotServed("broken"))).ensure("v2", [])


async def test_one_that_restarts_holds_nobody_up() -> None:
    away = Named("large", EngineUnavailable("restarting"))
    assert (await team(away, Named("small")).ensure("v1", []))["loaded"]
    assert (await team(away, Named("small")).ready())["unfinished"] == 1
    with pytest.raises(EngineUnavailable):
        await team(away, away).ready()


async def test_what_the_team_works_on_is_what_all_of_it_works_on() -> None:
    large, small = Named("large"), Named("small")
    large.folded = "v1"
    assert await team(large, small).ready() == {"model": "m", "max_model_len": 512, "unfinished": 6, "folded": None}
    small.folded = "v1"
    assert (await team(large, small).ready())["folded"] == "v1"
