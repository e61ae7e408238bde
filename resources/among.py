"""`IN (...)` for any number of values: they are sent as one parameter, so that the statement stays the same."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Connection, any_, column, func, literal, select


def among(
    connection: Connection, which: ColumnElement[Any], values: Sequence[int] | Sequence[str]
) -> ColumnElement[bool]:
    """Whether the column is one of the values, which are all numbers or all text."""
    if connection.dialect.name == "postgresql":
        return which == any_(literal(list(values), ARRAY(which.type)))
    listed = func.json_each(json.dumps(list(values))).table_valued(column("value", which.type))
    return which.in_(select(listed.c.value))
