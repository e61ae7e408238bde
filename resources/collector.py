"""Python's collector of reference cycles, kept from looking at everything again while many objects are made."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# new objects between two looks at the youngest: a piece of screening makes about as many
YOUNG, MIDDLE, OLD = 100_000, 20, 20


@contextmanager
def seldom_collected() -> Iterator[None]:
    """What is there already is left out, and what is new is looked at seldom; both end with the body."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
