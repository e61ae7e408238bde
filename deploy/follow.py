"""Follows the loop on the terminal of whoever wants to look: `python -m deploy.follow`, until Ctrl-C."""

import sys
import time
from collections.abc import Callable
from typing import Any

import httpx
from rich.console import Console

from deploy.client import Client
from deploy.watch import RunView, view_for
from resources.settings import SettingsError, read_settings

POLL_SECONDS = 1.0


def follow(
    client: Client, view: RunView, say: Callable[[str], None], pause: Callable[[float], None] = time.sleep
) -> None:
    """Show each reading, and beside it what went wrong with what to do about it, until interrupted."""
    told: tuple[Any, ...] = ()
    with view:
        while True:
            try:
                progress = client.progress()
                newest = next(iter(client.history()), None)
            except httpx.HTTPError as problem:
                say(f"  no answer, trying again: {problem}")
            else:
                view.show(progress, None)
                told = _tell(newest, told, say)
            pause(POLL_SECONDS)


def _tell(version: dict[str, Any] | None, told: tuple[Any, ...], say: Callable[[str], None]) -> tuple[Any, ...]:
    """Once for each attempt that failed."""
    if version is None or version.get("error") is None:
        return told
    found = (version["version"], version["attempts"], version["error"])
    if found != told:
        say(f"  v{found[0]}, attempt {found[1]}: {found[2]}")
        if version.get("advice"):
            say(f"  what to do: {version['advice']}")
    return found


def main() -> int:
    console = Console()
    try:
        settings = read_settings()
    except SettingsError as error:
        console.print(str(error), highlight=False, markup=False)
        return 2
    key = settings.admin_api_key.get_secret_value() if settings.enable_auth and settings.admin_api_key else None
    try:
        with Client(settings.address, key, timeout=10.0) as client:
            follow(client, view_for(console), lambda text: console.print(text, highlight=False, markup=False))
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
