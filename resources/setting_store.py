"""What a person changed while it runs: live settings and the pause."""

from collections.abc import Mapping
from typing import Any

from core.live_settings import LiveSettings


class SettingStore:
    def get(self) -> LiveSettings:
        """The start values, with what was changed since."""
        raise NotImplementedError

    def change(self, partial: Mapping[str, Any], by: str) -> LiveSettings:
        """Change some; a ValueError (pydantic) names what is unknown or out of range, and nothing is changed."""
        raise NotImplementedError


class Pause:
    def get(self) -> str | None:
        """Why automatic training waits for a person; None when it does not."""
        raise NotImplementedError

    def set(self, reason: str) -> None:
        raise NotImplementedError

    def clear(self, by: str) -> None:
        raise NotImplementedError
