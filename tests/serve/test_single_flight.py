"""Work that is under way is shared, and who leaves takes it from nobody."""

import asyncio

import pytest

from serve.single_flight import SingleFlight

pytestmark = pytest.mark.anyio


class Work:
    def __init__(self) -> None:
        self.begun, self.go_on = 0, asyncio.Event()

    async def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        await self.go_on.wait()
        return number


async def test_who_asks_meanwhile_shares_the_work_and_who_comes_after_begins_anew() -> None:
    flight, work = SingleFlight[int](), Work()
    asking = [asyncio.create_task(flight.do(1, work)) for _ in range(5)]
    await asyncio.sleep(0)
    work.go_on.set()

    assert await asyncio.gather(*asking) == [1] * 5
    assert await flight.do(1, work) == 2


async def test_other_keys_are_other_work() -> None:
    flight, work = SingleFlight[int](), Work()
    work.go_on.set()

    assert sorted(await asyncio.gather(flight.do(1, work), flight.do(2, work))) == [1, 2]


async def test_who_gives_up_takes_it_from_nobody() -> None:
    flight, work = SingleFlight[int](), Work()
    leaves, stays = (asyncio.create_task(flight.do(1, work)) for _ in range(2))
    await asyncio.sleep(0)
    leaves.cancel()
    await asyncio.sleep(0)
    work.go_on.set()

    assert (await stays, work.begun) == (1, 1)


async def test_an_error_reaches_everybody_and_is_not_kept() -> None:
    flight = SingleFlight[int]()

    async def fails() -> int:
        await asyncio.sleep(0)
        raise ValueError("no")

    answers = await asyncio.gather(flight.do(1, fails), flight.do(1, fails), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["no", "no"]
    work = Work()
    work.go_on.set()
    assert await flight.do(1, work) == 1
