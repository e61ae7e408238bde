"""What FastAPI works out of a route, once a process: it is most of what an ingress costs to build, for every test anew.

Only what comes of the code of an endpoint is kept, which is the same each time. The endpoint itself, and with it all
that it stands on, is the test's own.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from fastapi.routing import APIRoute, request_response

_whole = APIRoute.__init__
_known: dict[Any, dict[str, Any]] = {}


@contextmanager
def quick_routes() -> Iterator[None]:
    """As long as it is open."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(APIRoute, "__init__", _init)
        yield


def _init(self: APIRoute, path: str, endpoint: Callable[..., Any], **fields: Any) -> None:
    owner = fields.pop("dependency_overrides_provider", None)
    key = (path, endpoint.__code__, repr(fields))
    known = _known.get(key)
    if known is None:
        _whole(self, path, endpoint, dependency_overrides_provider=owner, **fields)
        nobodys = {name: replace(getattr(self, name), call=None) for name in ("dependant", "_flat_dependant")}
        _known[key] = {**vars(self), **nobodys, "endpoint": None, "app": None, "dependency_overrides_provider": None}
        return
    vars(self).update(known)
    self.endpoint, self.dependency_overrides_provider = endpoint, owner
    self.dependant = replace(known["dependant"], call=endpoint)
    self._flat_dependant = replace(known["_flat_dependant"], call=endpoint)
    self.app = request_response(self.get_route_handler())
