"""Finding a text inside a column without its wildcards meaning anything."""

from typing import Any

from sqlalchemy import ColumnElement, func


def contains(column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    """Whether the column holds the text, whatever its case."""
    return func.lower(column).like(f"%{escaped(text.lower())}%", escape="\\")


def escaped(text: str) -> str:
    """A text for LIKE that stands for itself, with a backslash as the escape character."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
