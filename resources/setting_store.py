"""What a person changed while it runs: live settings and the pause."""

import logging
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, delete, func, insert, select, update

from core.live_settings import LiveSettings
from resources.database import Database
from resources.event_rows import write_event
from resources.tables import outbox, pauses, settings, utc_now, versions

log = logging.getLogger(__name__)

WEBHOOK = "finetune_webhook_url"


class SettingStore:
    def __init__(self, database: Database, defaults: LiveSettings) -> None:
        self._database = database
        self._defaults = defaults

    def get(self) -> LiveSettings:
        """The start values, with what was changed since."""
        return self._database.read(self.current)

    def current(self, connection: Connection) -> LiveSettings:
        rows = connection.execute(select(settings.c.key, settings.c.value)).all()
        known = {row.key: row.value for row in rows if row.key in LiveSettings.model_fields}
        return _readable(self._defaults, known) if known else self._defaults

    def change(self, partial: Mapping[str, Any], by: str) -> LiveSettings:
        """Change some; a ValueError (pydantic) names what is unknown or out of range, and nothing is changed."""

        def work(connection: Connection) -> LiveSettings:
            before = self.current(connection)
            after = before.changed(partial)
            old, new = before.stored(), after.stored()
            changed = [key for key in new if new[key] != old[key]]
            for key in changed:
                connection.execute(delete(settings).where(settings.c.key == key))
                connection.execute(
                    insert(settings).values(key=key, value=new[key], changed_at=utc_now(), changed_by=by)
                )
            if WEBHOOK in changed and old[WEBHOOK] is None:
                _close_what_nobody_waits_for(connection)
            if changed:
                _tell(connection, {key: (old[key], new[key]) for key in changed}, by)
            return after

        return self._database.write(work)


class Pause:
    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self) -> str | None:
        """Why automatic training waits for a person; None when it does not."""
        query = select(pauses.c.reason).where(pauses.c.cleared_at.is_(None)).order_by(pauses.c.id.desc())
        return self._database.read(lambda c: c.execute(query).scalars().first())

    def set(self, reason: str) -> None:
        self._database.write(lambda c: pause(c, reason))

    def clear(self, by: str) -> None:
        self._database.write(lambda c: unpause(c, by))


def _readable(defaults: LiveSettings, known: Mapping[str, Any]) -> LiveSettings:
    """What an earlier release stored and this one refuses counts as never set: chat must not stop at it."""
    try:
        return defaults.changed(known)
    except ValidationError as error:
        refused = {str(found["loc"][0]) for found in error.errors(include_url=False, include_input=False)}
        log.warning("what is stored of %s is not allowed any more: its start value holds", ", ".join(sorted(refused)))
        return defaults.changed({key: value for key, value in known.items() if key not in refused})


def pause(connection: Connection, reason: str) -> None:
    """Stop automatic training until a person acts; a pause that stands keeps its reason."""
    if connection.execute(select(pauses.c.id).where(pauses.c.cleared_at.is_(None))).first():
        return
    newest = connection.execute(select(func.coalesce(func.max(versions.c.n), 0))).scalar_one()
    connection.execute(insert(pauses).values(reason=reason, after_version=newest, created_at=utc_now()))
    write_event(connection, "paused", f"Automatic training is paused: {reason}", data={"reason": reason})


def unpause(connection: Connection, by: str) -> None:
    """A person acted: automatic training goes on where it waited for that."""
    waiting = update(pauses).where(pauses.c.cleared_at.is_(None))
    if connection.execute(waiting.values(cleared_at=utc_now(), cleared_by=by)).rowcount:
        write_event(connection, "unpaused", f"Automatic training goes on, says {by}", data={"by": by})


def _close_what_nobody_waits_for(connection: Connection) -> None:
    """Events from before there was an address would come as a flood of old news."""
    waiting = update(outbox).where(outbox.c.closed_at.is_(None))
    connection.execute(waiting.values(closed_at=utc_now(), outcome="skipped"))


def _tell(connection: Connection, changes: Mapping[str, tuple[Any, Any]], by: str) -> None:
    # the address of a webhook is a secret
    shown = {key: ["set" if v else None for v in pair] if key == WEBHOOK else [*pair] for key, pair in changes.items()}
    message = ", ".join(f"{key}: {old} → {new}" for key, (old, new) in shown.items())
    write_event(connection, "setting_changed", f"{by} changed {message}", data={"changes": shown, "by": by})
