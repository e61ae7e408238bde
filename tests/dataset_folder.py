"""Dataset folders of a few conversations, for tests of what reads them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.conversation import Conversation
from core.manifest import Manifest
from core.sides import Side
from resources import datasets
from resources.dataset_columns import DatasetRow


def dataset_rows(
    sides: Mapping[Side, Sequence[Conversation]], units: Mapping[str, str], **found: Any
) -> list[DatasetRow]:
    """In the order in which a dataset has them."""
    rows = [
        DatasetRow(side, one, units.get(one.id, f"thread:{one.id}"), **found)
        for side, conversations in sides.items()
        for one in conversations
    ]
    return sorted(rows, key=lambda row: (row.conversation.created_at, row.conversation.id))


def write_dataset(
    folder: Path,
    train: Sequence[Conversation],
    held_out: Sequence[Conversation],
    *,
    validation: Sequence[Conversation] = (),
    units: Mapping[str, str],
    **changed: Any,
) -> Manifest:
    """Written in one piece; `changed` are fields of its manifest."""
    sides: dict[Side, Sequence[Conversation]] = {"train": train, "validation": validation, "held_out": held_out}
    fields = {"version": 1, "base_fingerprint": "b", "parent": None, "counts": {}, "details": {}, **changed}
    return datasets.write(folder, [dataset_rows(sides, units)], **fields)
