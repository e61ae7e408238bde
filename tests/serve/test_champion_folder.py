import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.champion_folder import ChampionFolder
from serve.folding import FoldRefused

NAMES = ("base", "v1", "v2")


class Backend:
    """Stands for vLLM: folds at once, or refuses, and notes when it was asked to."""

    def __init__(self) -> None:
        self.folded: str | None = None
        self.now = 0.0
        self.asked: list[tuple[float, str]] = []
        self.refuses: set[str] = set()

    def clock(self) -> float:
        return self.now

    async def fold(self, name: str) -> None:
        self.asked.append((self.now, name))
        self.folded = None
        if name in self.refuses:
            raise FoldRefused("no memory")
        self.folded = name


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def folder(backend: Backend) -> ChampionFolder:
    return ChampionFolder(backend, backend.clock)


def look(folder: ChampionFolder, backend: Backend, times: int = 3) -> None:
    async def play() -> None:
        for _ in range(times):
            backend.now += 1
            await folder.look()

    asyncio.run(play())


def ask(folder: ChampionFolder, *names: str) -> None:
    for name in names:
        folder.asked(name)


def test_what_takes_most_of_the_traffic_for_a_while_is_folded_once(folder: ChampionFolder, backend: Backend) -> None:
    ask(folder, *["v1"] * 6, "base")
    look(folder, backend, 2)
    assert backend.folded is None
    look(folder, backend, 5)
    assert [name for _, name in backend.asked] == ["v1"]


def test_after_a_swap_the_new_champion_takes_the_place(folder: ChampionFolder, backend: Backend) -> None:
    ask(folder, *["v1"] * 8)
    look(folder, backend)
    ask(folder, *["v2"] * 8)
    look(folder, backend)
    assert backend.folded == "v1"  # the last fold is not a minute old
    backend.now += 60
    look(folder, backend)
    assert backend.folded == "v2"


@pytest.mark.parametrize("asked", [["base"] * 8, ["v1"] * 3, ["v1", "v2"] * 4, ["v1"] * 5 + ["base"] * 3, []])
def test_the_base_few_requests_and_mixed_traffic_fold_nothing(
    folder: ChampionFolder, backend: Backend, asked: list[str]
) -> None:
    ask(folder, *asked)
    look(folder, backend, 10)
    assert backend.asked == []


def test_what_was_refused_is_not_tried_again_for_ten_minutes(folder: ChampionFolder, backend: Backend) -> None:
    backend.refuses = {"v1"}
    ask(folder, *["v1"] * 8)
    look(folder, backend, 500)
    assert len(backend.asked) == 1
    backend.refuses.clear()
    backend.now += 600
    look(folder, backend)
    assert backend.folded == "v1"


def test_an_adapter_that_lost_its_fold_gets_it_again(folder: ChampionFolder, backend: Backend) -> None:
    ask(folder, *["v1"] * 8)
    look(folder, backend)
    backend.folded, backend.now = None, 100.0  # it was dropped to make room, and loaded again
    look(folder, backend)
    assert backend.folded == "v1"


moves = st.lists(
    st.tuples(st.lists(st.sampled_from(NAMES), max_size=12), st.floats(0, 90), st.booleans()), min_size=1, max_size=40
)


@given(moves)
def test_it_folds_only_what_leads_and_never_two_within_a_minute(moves: list[tuple[list[str], float, bool]]) -> None:
    backend, said = Backend(), list[str]()
    folder = ChampionFolder(backend, backend.clock)
    for names, seconds, refuses in moves:
        ask(folder, *names)
        said += names
        backend.now += seconds
        backend.refuses = set(NAMES) if refuses else set()
        before = len(backend.asked)
        look(folder, backend, 1)
        for _, name in backend.asked[before:]:
            assert name != "base"
            assert said[-8:].count(name) >= 0.75 * len(said[-8:])
    times = [at for at, _ in backend.asked]
    assert all(later - earlier >= 60 for earlier, later in pairwise(times))
