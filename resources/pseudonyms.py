"""The secret of this installation, by which its files call people something else: made once, kept with the settings."""

import secrets

from sqlalchemy import Connection, insert, select

from core.pseudonyms import Pseudonyms
from resources.database import Database
from resources.tables import erasures, settings, utc_now

_KEY = "pseudonyms"
_BYTES = 16


def pseudonyms_of(database: Database) -> Pseudonyms:
    """Those of this store."""
    return Pseudonyms(database.read(_known) or database.write(secret))


def secret(connection: Connection) -> str:
    """The salt of all erasures too, so that a restored file shows whom it still names; a first one is made here."""
    known = _known(connection)
    if known is not None:
        return known
    # an earlier release erased with a salt of its own
    salt = connection.execute(select(erasures.c.salt).order_by(erasures.c.id).limit(1)).scalar()
    made: str = salt or secrets.token_hex(_BYTES)
    row = {"key": _KEY, "value": made, "changed_at": utc_now(), "changed_by": "whetstone"}
    connection.execute(insert(settings).values(**row))
    return made


def _known(connection: Connection) -> str | None:
    value: str | None = connection.execute(select(settings.c.value).where(settings.c.key == _KEY)).scalar()
    return value
