"""The shape that every list of many has: one page of its rows, and how many there are in all."""

from collections.abc import Callable
from typing import Any, TypeVar

from resources.conversations import Page

Item = TypeVar("Item")


def page_shape(page: Page[Item], row: Callable[[Item], dict[str, Any]]) -> dict[str, Any]:
    """`row` shows one item."""
    items = [row(item) for item in page.items]
    return {"items": items, "page": page.page, "page_size": page.page_size, "total": page.total}
