import asyncio

import pytest

from serve import reconciler
from serve.reconciler import Chore, Reconciler


def test_a_chore_that_fails_is_counted_and_tried_again_and_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        done, tries = asyncio.Event(), 0

        async def broken() -> None:
            raise RuntimeError("the registry is gone")

        async def works_the_third_time() -> None:
            nonlocal tries
            tries += 1
            if tries < 3:
                raise OSError("not yet")
            done.set()

        running = Reconciler([Chore("broken", 0.001, broken), Chore("third", 0.001, works_the_third_time)])
        task = asyncio.create_task(running.run())
        async with asyncio.timeout(5):
            await done.wait()
        assert not task.done()
        task.cancel()
        assert running.failures()["third"] == 2
        assert running.failures()["broken"] >= 1

    asyncio.run(story())
    warnings = [r for r in caplog.records if r.levelname == "WARNING" and "the registry is gone" in r.message]
    assert len(warnings) == 1, "the same failure again and again is said once"


def test_pauses_grow_after_failures_and_shrink_after_success(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        now, pauses, outcomes = 0.0, [], iter([False, False, False, True, True])

        async def work() -> None:
            if not next(outcomes):
                raise OSError

        async def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 5:
                raise asyncio.CancelledError

        monkeypatch.setattr(reconciler.time, "monotonic", lambda: now)
        monkeypatch.setattr(reconciler.asyncio, "sleep", pause)
        with pytest.raises(asyncio.CancelledError):
            await Reconciler([])._again_and_again(Chore("work", 1.0, work))
        assert pauses == [2.0, 4.0, 8.0, 1.0, 1.0]

    asyncio.run(story())
