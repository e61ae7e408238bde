"""What is known of users beside their conversations: a row of a file or folder, found by `user_id`."""

from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.types as pt

KEY = "user_id"
MOST_CHARACTERS = 1000  # they stand before every question, and the model reads only so much
_FORMATS = {".parquet": "parquet", ".csv": "csv", ".jsonl": "json", ".json": "json"}


class FeaturesUnreadable(ValueError):
    """A source that is no table with a column `user_id`; the message says expected and found."""


class LocalFeatures:
    """Parquet, CSV or JSON Lines. Read anew for each look-up, so that what is written there counts at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def of(self, user_id: str) -> dict[str, Any] | None:
        """The first row of this user without the key and without empty fields; None where there is none. It blocks.

        A column that no longer fits into MOST_CHARACTERS is left out.
        """
        try:
            table = self._table()
            key = table.schema.field(KEY).type
        except (OSError, ValueError, KeyError) as error:
            raise FeaturesUnreadable(
                f"Expected DATA_SOURCE_PATH to be Parquet, CSV or JSON Lines with a column {KEY}, found "
                f"{type(error).__name__}"
            ) from None
        if pt.is_integer(key) and not user_id.isdecimal():
            return None  # CSV makes numbers of ids that are digits
        rows = table.head(1, filter=pc.field(KEY).cast("string") == user_id).to_pylist()
        if not rows:
            return None
        return _within({name: value for name, value in rows[0].items() if name != KEY and value is not None})

    def _table(self) -> ds.Dataset:
        files = [self.path] if self.path.is_file() else sorted(self.path.iterdir())
        kinds = {_FORMATS[path.suffix.lower()] for path in files if path.suffix.lower() in _FORMATS}
        if len(kinds) != 1:
            raise ValueError(f"Expected files of one kind, found {len(kinds)}")
        kind = kinds.pop()
        return ds.dataset([str(path) for path in files if _FORMATS.get(path.suffix.lower()) == kind], format=kind)


def _within(known: dict[str, Any]) -> dict[str, Any]:
    room, kept = MOST_CHARACTERS, {}
    for name, value in known.items():
        length = len(name) + len(str(value))
        if length <= room:
            room -= length
            kept[name] = value
    return kept
