import asyncio
from pathlib import Path

from sqlalchemy import make_url

from resources.knocking import MOST_LISTENERS, knock, listen
from serve.doorbell import Doorbell, wait_for_bell


def test_a_knock_rings_for_every_follower_and_not_after_the_end(tmp_path: Path) -> None:
    database = make_url(f"sqlite:///{tmp_path / 'w.db'}")

    async def play() -> None:
        bells = [asyncio.Event(), asyncio.Event()]
        doorbell = Doorbell(bells)
        doorbell.open(listen(database))
        for _ in range(3):
            knock(database)
        async with asyncio.timeout(5):
            for bell in bells:
                await bell.wait()
                bell.clear()
        doorbell.close()
        knock(database)
        await asyncio.sleep(0.01)
        assert not any(bell.is_set() for bell in bells)

    asyncio.run(play())


def test_without_a_place_to_listen_followers_look_in_turn(tmp_path: Path) -> None:
    database = make_url(f"sqlite:///{tmp_path / 'w.db'}")
    taken = [listen(database) for _ in range(MOST_LISTENERS)]

    async def play() -> None:
        doorbell = Doorbell([])
        doorbell.open(listen(database))
        await wait_for_bell(asyncio.Event(), 0.01)
        doorbell.close()

    asyncio.run(play())
    for one in taken:
        assert one is not None
        one.close()
