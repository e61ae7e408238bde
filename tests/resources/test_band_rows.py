from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import pytest
from sqlalchemy import Connection, delete, func, insert, select, text, update

from core.duplicates import text_of
from core.shingles import shingles
from resources import band_rows, near_duplicates, signatures
from resources.among import among
from resources.band_rows import BandRows, forget_bands
from resources.bands import MemoryBands
from resources.conversation_rows import conversation_of, with_texts
from resources.near_duplicates import NearDuplicates, Placed
from resources.signatures import BANDS, band_hashes
from resources.store import Store
from resources.tables import band_runs, band_signature, bands, conversations
from tests.resources.examples import conclude, conversation
from tests.resources.test_near_duplicates import PRINTER, REFUND, templated

Result = TypeVar("Result")


def captured(store: Store, asked: Iterable[str], prefix: str = "c", **fields: str) -> list[tuple[int, str]]:
    """Number and text of new conversations of a new version."""
    store.conversations.capture(
        [conversation(f"{prefix}{place}", question, **fields) for place, question in enumerate(asked)]
    )
    claim = store.versions.claim("run")
    assert claim is not None
    rows = store.versions.rows(claim.n)
    conclude(store, claim)
    return [(row.seq, text_of(row.conversation)) for row in rows]


def texts(connection: Connection) -> Callable[[Sequence[int]], dict[int, str]]:
    def of(seqs: Sequence[int]) -> dict[int, str]:
        rows = connection.execute(with_texts().where(conversations.c.seq.in_(seqs)).order_by(conversations.c.seq))
        return {row.seq: text_of(conversation_of(row)) for row in rows}

    return of


def place(store: Store, batch: Sequence[tuple[int, str]], size: int = 1_000) -> dict[int, Placed]:
    """As screening does it: each piece with its clusters in one transaction."""
    placed: dict[int, Placed] = {}
    for start in range(0, len(batch), size):
        piece = batch[start : start + size]
        placed.update(store.database.write(lambda c, piece=piece: _place(c, piece)))  # type: ignore[misc]
    return placed


def _place(connection: Connection, piece: Sequence[tuple[int, str]]) -> Mapping[int, Placed]:
    placed = NearDuplicates(BandRows(connection), texts(connection)).place(piece)
    for seq, found in placed.items():
        connection.execute(update(conversations).where(conversations.c.seq == seq).values(cluster=found.cluster))
    return placed


def in_memory(batch: Sequence[tuple[int, str]]) -> dict[int, Placed]:
    known = dict(batch)
    return NearDuplicates(MemoryBands(), lambda seqs: {seq: known[seq] for seq in seqs}).place(batch)


def stored_members(store: Store) -> set[tuple[int, int]]:
    """All of them, wherever they lie."""

    def work(connection: Connection) -> set[tuple[int, int]]:
        in_table = {(row.hash, row.seq) for row in connection.execute(select(bands))}
        runs = band_rows._runs(connection).values()
        return in_table | {pair for run in runs for pair in zip(run.hashes.tolist(), run.seqs.tolist(), strict=True)}

    return store.database.read(work)


def rows_in_table(store: Store) -> int:
    return int(store.database.read(lambda c: c.execute(select(func.count()).select_from(bands)).scalar_one()))


def mixed(number: int) -> list[str]:
    """Half of them near-duplicates of the one before, a third with full buckets."""
    letters = templated(number)
    return [letters[at // 2 * 2][: -1 if at % 2 else None] if at % 3 else f"{PRINTER} {at}" for at in range(number)]


@pytest.mark.parametrize("size", [7, 40, 1_000])
@pytest.mark.parametrize("in_runs", [300, 2_000, 500_000])
def test_the_store_finds_what_memory_finds_however_the_rows_lie(
    store: Store, monkeypatch: pytest.MonkeyPatch, size: int, in_runs: int
) -> None:
    monkeypatch.setattr(band_rows, "IN_RUNS", in_runs)
    monkeypatch.setattr(near_duplicates, "PIECE_TEXTS", 23)
    batch = captured(store, mixed(120))
    expected = in_memory(batch)
    assert place(store, batch, size) == expected
    assert 1 < len({found.cluster for found in expected.values()}) < 100
    assert bool(rows_in_table(store)) is (in_runs < 120 * BANDS)


def test_a_later_version_joins_the_clusters_of_an_earlier_one(store: Store) -> None:
    first = place(store, captured(store, [PRINTER, REFUND], "a"))
    second = captured(store, [REFUND + "?", PRINTER + "!", "something else"], "b")
    placed = place(store, second)
    one, two = first
    assert [placed[seq].cluster for seq, _ in second] == [two, one, second[2][0]]


def test_placing_again_what_was_not_finished_gives_the_same(store: Store) -> None:
    batch = captured(store, mixed(60))
    first = place(store, batch, 20)
    store.database.write(
        lambda c: c.execute(update(conversations).where(conversations.c.seq > batch[29][0]).values(cluster=None))
    )
    members = stored_members(store)
    assert place(store, batch[30:], 20) == {seq: first[seq] for seq, _ in batch[30:]}
    assert stored_members(store) == members


def test_what_is_in_no_version_any_more_is_nobodys_neighbour(store: Store) -> None:
    batch = captured(store, [PRINTER, PRINTER + "!"])
    place(store, batch[:1])
    store.database.write(lambda c: c.execute(update(conversations).values(version=None)))
    assert place(store, batch[1:]) == {batch[1][0]: Placed(batch[1][0], ())}


@pytest.mark.parametrize("in_runs", [0, 500_000])
def test_nothing_stays_of_what_is_erased(store: Store, monkeypatch: pytest.MonkeyPatch, in_runs: int) -> None:
    monkeypatch.setattr(band_rows, "IN_RUNS", in_runs)
    batch = captured(store, mixed(40))
    place(store, batch)
    gone = [seq for seq, _ in batch[::2]]
    store.database.write(lambda c: forget_bands(c, gone))
    left = {seq for _, seq in stored_members(store)}
    assert left == {seq for seq, _ in batch[1::2]}


def test_the_erasure_of_a_person_and_a_reset_forget_the_bands_too(store: Store) -> None:
    place(store, captured(store, [PRINTER, REFUND], user_id="u"))
    other = captured(store, ["Something else altogether?"], "b", user_id="v")
    place(store, other)
    store.conversations.erase_user("u")
    assert {seq for _, seq in stored_members(store)} == {other[0][0]}
    store.database.write(lambda c: c.execute(update(conversations).values(version=None)))
    store.conversations.clear_waiting(None)
    assert not stored_members(store)


def test_a_conversation_that_is_gone_is_nobodys_neighbour_even_before_its_bands_are(store: Store) -> None:
    batch = captured(store, [PRINTER, PRINTER + "!"])
    place(store, batch[:1])
    store.database.write(lambda c: c.execute(delete(conversations).where(conversations.c.seq == batch[0][0])))
    assert place(store, batch[1:])[batch[1][0]].near == ()


def test_bands_of_another_signature_are_made_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = captured(store, mixed(40), "a")
    place(store, batch)
    before = stored_members(store)
    monkeypatch.setattr(signatures, "_SEED", 43)
    monkeypatch.setattr(band_rows, "signature_version", lambda: "another")
    later = captured(store, [PRINTER + " 0!"], "b")
    assert place(store, later)[later[0][0]].cluster == batch[0][0]
    assert before.isdisjoint(stored_members(store))
    expected = band_hashes(shingles([text for _, text in [*batch, *later]]))
    assert {hash for hash, _ in stored_members(store)} == set(np.unique(expected).tolist())


def test_the_same_signature_makes_nothing_again(store: Store) -> None:
    place(store, captured(store, [PRINTER]))
    store.database.write(lambda c: c.execute(delete(band_runs)))
    store.database.write(lambda c: c.execute(insert(bands).values(hash=1, seq=1)))
    store.database.write(lambda c: BandRows(c).prepare(lambda seqs: {}))
    assert stored_members(store) == {(1, 1)}
    assert store.database.read(lambda c: c.execute(select(func.count()).select_from(band_signature)).scalar_one()) == 1


def test_sqlite_looks_hashes_up_and_does_not_read_the_table(sqlite_store: Store) -> None:
    def explain(connection: Connection) -> str:
        query = select(bands).where(among(connection, bands.c.hash, [1, -2]))
        sql = query.compile(connection, compile_kwargs={"literal_binds": True})
        return " | ".join(str(row[-1]) for row in connection.execute(text(f"EXPLAIN QUERY PLAN {sql}")))

    assert "SEARCH bands USING PRIMARY KEY (hash=?)" in sqlite_store.database.read(explain)
