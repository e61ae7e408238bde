"""Small parts of the settings: fields that follow a domain type, addresses, and values as variables."""

import ipaddress
from copy import copy
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr


def like(model: type[BaseModel], name: str, description: str | None = None) -> Any:
    """The field `name` of `model`, with its default and range; its description unless another is given."""
    field = copy(model.model_fields[name])
    field.description = description or field.description
    return field


def sync_driver(url: str) -> str:
    """The address with the driver we use; asynchronous and bare prefixes mean the same database."""
    scheme, separator, rest = url.partition("://")
    dialect = scheme.partition("+")[0]
    if dialect in {"postgres", "postgresql"}:
        return f"postgresql+psycopg{separator}{rest}"
    if dialect == "sqlite":
        return f"sqlite{separator}{rest}"
    if url:
        raise ValueError(
            f"expected sqlite:///path or postgresql://user:password@host/name, found the scheme {scheme!r}"
        )
    return url


def sqlite_absolute(url: str, root: Path) -> str:
    """A relative SQLite path counts from `root`, whichever folder a process was started in."""
    prefix = "sqlite:///"
    if not url.startswith(prefix) or url.removeprefix(prefix) in {"", ":memory:"}:
        return url
    return f"{prefix}{root / Path(url.removeprefix(prefix)).expanduser()}"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def as_variable(value: Any) -> str:
    """The value as an environment variable carries it, a secret in the clear."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return "" if value is None else str(value)
