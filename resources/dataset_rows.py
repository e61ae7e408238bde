"""The accepted conversations as the rows of a dataset: in one order, masked, a piece at a time."""

from array import array
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, select

from core.conversation import Conversation
from core.pii import Recogniser, mask_personal
from core.pseudonyms import Pseudonyms
from core.sides import Side, unit_names
from resources.database import Database
from resources.dataset_columns import DatasetRow
from resources.screening_rows import accepted, own_conversation, texts_of, unit_sides
from resources.tables import conversations, versions

PIECE = 1_000

_c = conversations.c


def accepted_rows(
    database: Database, n: int, masks: str, recognise: Recogniser | None, names: Pseudonyms
) -> Iterator[list[DatasetRow]]:
    """All that was accepted up to a version, by time and id, under pseudonyms; what is erased meanwhile is left out."""
    order, unmasked = database.read(lambda c: (_order(c, n), _masked_otherwise(c, n, masks)))
    row = partial(_row, unmasked=unmasked, recognise=recognise, names=names)
    for start in range(0, len(order), PIECE):
        seqs = order[start : start + PIECE]
        yield database.read(partial(_rows, seqs=seqs, row=row))


def _order(connection: Connection, n: int) -> "array[int]":
    query = select(_c.seq).where(accepted(n)).order_by(_c.created_at, _c.id)
    return array("q", connection.execute(query.execution_options(yield_per=10_000)).scalars())


def _masked_otherwise(connection: Connection, n: int, masks: str) -> set[int]:
    """Versions whose conversations were screened under other masks: they are masked anew."""
    query = select(versions.c.n, versions.c.screened_with).where(versions.c.n <= n)
    return {row.n for row in connection.execute(query) if (row.screened_with or {}).get("masks") != masks}


def _rows(connection: Connection, seqs: Sequence[int], row: Callable[..., DatasetRow]) -> list[DatasetRow]:
    rows = {of.seq: of for of in texts_of(connection, seqs)}
    here = [(rows[seq], own_conversation(rows[seq])) for seq in seqs if seq in rows]
    known = unit_sides(connection, (name for _, one in here for name in unit_names(one) if name))
    return [row(of, one, known) for of, one in here]


def _row(
    row: Row[Any],
    one: Conversation,
    known: Mapping[str, Side],
    unmasked: Collection[int],
    recognise: Recogniser | None,
    names: Pseudonyms,
) -> DatasetRow:
    thread, user = unit_names(one)
    _, version, side, cluster, tokens, language, quality, masked_hash, *_ = tuple(row)
    # most texts hold nothing to be masked, which screening found out already
    if masked_hash is not None or version in unmasked:
        one = mask_personal(one, recognise)[0]
    unit = user if user in known else thread
    hidden = names.conversation(one)
    return DatasetRow(side, hidden, names.unit(str(unit)), version, cluster, tokens, language, quality)
