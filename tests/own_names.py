"""What a dataset says under pseudonyms, under the names that the store knows."""

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import select

from core.conversation import Conversation
from core.sides import Side
from resources import datasets
from resources.store import Store
from resources.tables import conversations

_IDS = ("id", "thread_id")
_PEOPLE = ("user_id", "session_id")


def own_names(store: Store, found: Sequence[Conversation]) -> list[Conversation]:
    """Whoever the store does not know keeps the pseudonym."""
    names, known = store.pseudonyms(), dict[str, str]()
    query = select(*(conversations.c[name] for name in (*_IDS, *_PEOPLE)))
    for row in store.database.read(lambda c: c.execute(query).all()):
        known |= {names.id(getattr(row, name)): getattr(row, name) for name in _IDS if getattr(row, name)}
        known |= {names.of(getattr(row, name)): getattr(row, name) for name in _PEOPLE if getattr(row, name)}
    return [
        one.model_copy(
            update={name: known.get(value, value) for name in (*_IDS, *_PEOPLE) if (value := getattr(one, name))}
        )
        for one in found
    ]


def read_own(store: Store, folder: Path, side: Side) -> list[Conversation]:
    """A side of a dataset."""
    return own_names(store, datasets.read_side(folder, side))
