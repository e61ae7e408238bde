"""Bands in the store: a table that is searched, and sorted runs of what is new, which go into it many at a time.

Hashes lie anywhere in the table, so that a few rows more would rewrite as many of its pages.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    Connection,
    delete,
    insert,
    select,
    text,
    update,
)

from core.shingles import shingles
from resources.among import among
from resources.band_candidates import candidates
from resources.bands import NOBODY, Members, Texts, joined, number_to_merge, under, without
from resources.signatures import band_hashes, signature_version
from resources.tables import band_runs, band_signature, bands, conversations

# members that may lie in runs: 16 MB, which every look-up reads
IN_RUNS: Final = 1_000_000
TEXTS_AT_ONCE: Final = 2_000

_WRITE = {
    "sqlite": "INSERT OR IGNORE INTO bands (hash, seq) VALUES (?, ?)",
    "postgresql": "INSERT INTO bands (hash, seq) "
    "SELECT * FROM unnest(CAST(:hashes AS BIGINT[]), CAST(:seqs AS BIGINT[])) ON CONFLICT DO NOTHING",
}


class BandRows:
    """The bands as one transaction sees them, in which conversations are placed in the order of their numbers.

    A conversation of an earlier transaction counts as placed while its row has a cluster, which is written elsewhere.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._found: dict[int, int] = {}
        self._placed: dict[int, int] = {}
        self._runs = _runs(connection)

    def prepare(self, texts: Texts) -> None:
        """Bands of another signature are made again from the texts, all of them in this transaction."""
        made_with = self._connection.execute(select(band_signature.c.version)).scalar()
        if made_with == signature_version():
            return
        for table in (bands, band_runs, band_signature):
            self._connection.execute(delete(table))
        self._runs = {}
        self._connection.execute(insert(band_signature).values(version=signature_version()))
        for seqs in _placed(self._connection):
            again = texts(seqs)
            left = [seq for seq in seqs if seq in again]
            hashes = band_hashes(shingles([again[seq] for seq in left]))
            numbers = np.array(left, np.int64)
            self.add(candidates(numbers, hashes, self.find(np.unique(hashes))).added, {})

    def find(self, hashes: NDArray[np.int64]) -> Members:
        in_runs = (under(run, hashes) for run in self._runs.values())
        found = joined([_in_table(self._connection, hashes), *in_runs])
        seqs, index = np.unique(found.seqs, return_inverse=True)
        self._found = _standing(self._connection, seqs) | self._placed
        place = {seq: place for place, seq in enumerate(self._found)}
        order = np.array([place.get(seq, -1) for seq in seqs.tolist()], np.int64)[index]
        kept = np.lexsort((order, found.hashes))
        kept = kept[order[kept] >= 0]
        return _once(Members(found.hashes[kept], found.seqs[kept]))

    def clusters(self, seqs: Iterable[int]) -> dict[int, int]:
        return {seq: self._found[seq] for seq in seqs}

    def add(self, members: Members, clusters: Mapping[int, int]) -> None:
        self._placed.update(clusters)
        if not len(members.hashes):
            return
        merged = number_to_merge([len(run.hashes) for run in self._runs.values()], len(members.hashes))
        replaced = list(self._runs)[len(self._runs) - merged :]
        run = joined([*(self._runs.pop(id) for id in replaced), members.in_order()])
        if sum(len(kept.hashes) for kept in self._runs.values()) + len(run.hashes) > IN_RUNS:
            _write(self._connection, joined([*self._runs.values(), run]))
            self._connection.execute(delete(band_runs))
            self._runs = {}
        else:
            self._connection.execute(delete(band_runs).where(band_runs.c.id.in_(replaced)))
            added = insert(band_runs).values(members=_packed(run)).returning(band_runs.c.id)
            self._runs[self._connection.execute(added).scalar_one()] = run

    def forget(self, seqs: Collection[int]) -> None:
        forget_bands(self._connection, seqs)
        self._runs = _runs(self._connection)


def forget_bands(connection: Connection, seqs: Collection[int]) -> None:
    """These conversations are erased: nothing made of their texts stays. Reads all bands, about 0.1 s a million."""
    gone = np.fromiter(seqs, np.int64, len(seqs))
    if not len(gone):
        return
    connection.execute(delete(bands).where(among(connection, bands.c.seq, gone.tolist())))
    for id, run in _runs(connection).items():
        left = without(run, gone)
        if len(left.hashes) < len(run.hashes):
            connection.execute(update(band_runs).where(band_runs.c.id == id).values(members=_packed(left)))


def _in_table(connection: Connection, hashes: NDArray[np.int64]) -> Members:
    if connection.execute(select(bands.c.hash).limit(1)).first() is None:
        return NOBODY
    query = select(bands.c.hash, bands.c.seq).where(among(connection, bands.c.hash, hashes.tolist()))
    rows = connection.execute(query).all()
    # not np.array, which asks every row for what else it might be
    found = np.fromiter(chain.from_iterable(rows), np.int64, 2 * len(rows)).reshape(-1, 2)
    return Members(found[:, 0], found[:, 1]).in_order()


def _standing(connection: Connection, seqs: NDArray[np.int64]) -> dict[int, int]:
    """The clusters of those that are placed, in the order in which they were."""
    columns = conversations.c
    placed = (among(connection, columns.seq, seqs.tolist()), columns.cluster.is_not(None), columns.version.is_not(None))
    query = select(columns.seq, columns.cluster).where(*placed).order_by(columns.version, columns.seq)
    return {row.seq: row.cluster for row in connection.execute(query)}


def _placed(connection: Connection) -> Iterator[list[int]]:
    """All conversations that were placed, in that order, some at a time."""
    columns = conversations.c
    query = select(columns.seq).where(columns.cluster.is_not(None), columns.version.is_not(None))
    seqs = list(connection.execute(query.order_by(columns.version, columns.seq)).scalars())
    return (seqs[start : start + TEXTS_AT_ONCE] for start in range(0, len(seqs), TEXTS_AT_ONCE))


def _runs(connection: Connection) -> dict[int, Members]:
    """Oldest first."""
    rows = connection.execute(select(band_runs).order_by(band_runs.c.id))
    return {row.id: Members(*np.frombuffer(row.members, "<i8").reshape(2, -1)) for row in rows}


def _packed(run: Members) -> bytes:
    return np.stack(run).astype("<i8").tobytes()


def _write(connection: Connection, run: Members) -> None:
    statement = _WRITE[connection.dialect.name]
    hashes, seqs = run.hashes.tolist(), run.seqs.tolist()
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(statement, list(zip(hashes, seqs, strict=True)))
    else:
        connection.execute(text(statement), {"hashes": hashes, "seqs": seqs})


def _once(members: Members) -> Members:
    """Without repetitions, which stand side by side."""
    if not len(members.hashes):
        return members
    again = (members.hashes[1:] == members.hashes[:-1]) & (members.seqs[1:] == members.seqs[:-1])
    first = np.concatenate([[True], ~again])
    return Members(members.hashes[first], members.seqs[first])
