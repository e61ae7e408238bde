"""The secret behind pseudonyms: one for a store, made once, that of its erasures."""

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import select

from resources.store import Store
from resources.tables import erasures, settings
from tests.resources.examples import fill


def salts(store: Store) -> list[str]:
    return list(store.database.read(lambda c: c.execute(select(erasures.c.salt)).scalars().all()))


def test_it_is_made_once_whoever_asks_at_the_same_moment(store: Store) -> None:
    with ThreadPoolExecutor(4) as several:
        found = {names.of("u") for names in several.map(lambda _: store.pseudonyms(), range(8))}
    assert len(found) == 1
    assert store.settings.get() == store.settings.change({}, "admin"), "it is no setting of anybody's"
    assert len(store.database.read(lambda c: c.execute(select(settings.c.key)).all())) == 1


def test_erasures_use_the_same_so_that_they_know_whom_a_pseudonym_means(store: Store) -> None:
    hidden = store.pseudonyms().of("u")
    fill(store, "a", user_id="u")
    store.conversations.erase_user("u")
    (past,) = store.erasures.past()
    assert (past.was_of("u"), past.was_of(hidden), past.was_of(store.pseudonyms().of("v"))) == (True, True, False)


def test_the_salt_of_an_earlier_release_goes_on(store: Store) -> None:
    store.conversations.erase_user("u")
    store.database.write(lambda c: c.execute(settings.delete()))  # which kept it with its erasures alone
    (past,) = store.erasures.past()
    assert past.was_of(store.pseudonyms().of("u"))
    store.conversations.erase_user("v")
    assert len(set(salts(store))) == 1
