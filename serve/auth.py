"""Who may call what: bearer keys, or, without them, the programs and pages of this machine alone."""

import hashlib
import hmac
import ipaddress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from serve.errors import ApiError

_OPEN = ("/health", "/ready", "/docs", "/openapi.json")
_ADMIN = ("/mlops", "/api/v1/admin")


def is_loopback(host: str) -> bool:
    """Whether a host name or address stands for this machine alone."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Keys:
    """The two bearer keys; without `enabled` only pages and programs of this machine are let in."""

    enabled: bool = False
    api: str = field(default="", repr=False)
    admin: str = field(default="", repr=False)

    def check(self, path: str, authorization: str | None, host: str | None, origin: str | None) -> str:
        """Whose key it is: `admin`, `api`; `local` where none is asked for. ApiError 401 without one, 403."""
        if not self.enabled:
            _check_local(host, origin)
            return "local"
        return "" if _under(path, _OPEN) else self._caller(path, _bearer(authorization))

    def _caller(self, path: str, given: str) -> str:
        if self._same(given, self.admin):
            return "admin"
        known = self._same(given, self.api)
        if not known:
            raise ApiError(
                401,
                "Expected a valid key as `Authorization: Bearer`, found none",
                code="invalid_api_key",
                headers={"www-authenticate": "Bearer"},
            )
        if _under(path, _ADMIN):
            raise ApiError(403, f"Expected the admin key for {path}, found the other one", code="admin_key_needed")
        return "api"

    @staticmethod
    def _same(given: str, kept: str) -> bool:
        left, right = (hashlib.sha256(text.encode()).digest() for text in (given, kept))
        return hmac.compare_digest(left, right) and bool(kept)


def _bearer(authorization: str | None) -> str:
    scheme, _, key = (authorization or "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _under(path: str, prefixes: tuple[str, ...]) -> bool:
    return any(path == prefix or path.startswith(prefix + "/") for prefix in prefixes)


def _check_local(host: str | None, origin: str | None) -> None:
    """A web page elsewhere must not drive an open ingress through the browser (CSRF, DNS rebinding)."""
    if not is_loopback(_host_of(f"//{host or 'localhost'}")):
        raise ApiError(403, "Expected a Host of this machine while ENABLE_AUTH=false, found another", code="bad_host")
    if origin and not is_loopback(_host_of(origin)):
        raise ApiError(403, "Expected an Origin of this machine while ENABLE_AUTH=false, found another",
                       code="bad_origin")  # fmt: skip


def _host_of(address: str) -> str:
    """Empty for what is no address."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
