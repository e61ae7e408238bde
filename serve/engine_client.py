"""What the ingress, the follower and the reconciler may ask of the engine, and the Ray Serve handle behind it."""

from collections.abc import AsyncGenerator
from typing import Any, Protocol

Body = dict[str, Any]
Item = dict[str, Any] | str


class AdapterNotServed(Exception):
    """An adapter was refused or could not be loaded; the message says expected, found and where. Picklable."""


class EngineClient(Protocol):
    """The engine as its callers see it. Tests put a double behind this; production puts a Serve handle."""

    def chat(self, body: Body) -> AsyncGenerator[Item, None]:
        """First item: head `{"status": int, "json": dict?}`. With `json` nothing follows; else vLLM's SSE strings.

        `body["model"]` is a concrete name (`base`, `v3`). Errors are OpenAI-shaped JSON in the head. Closing the
        generator (`aclose`, `aclosing`) aborts the request in vLLM.
        """
        ...

    async def ensure(self, name: str, pinned: list[str]) -> dict[str, Any]:
        """Make `name` servable: `{"loaded": bool, "seconds": float}`; idempotent. Raises AdapterNotServed."""
        ...

    async def loaded(self) -> list[str]:
        """Adapters resident now, `base` not among them."""
        ...

    async def ready(self) -> dict[str, Any]:
        """`{"model": str, "lineage": str, "max_model_len": int}`; raises while the engine cannot answer."""
        ...


class HandleEngine:
    """EngineClient over a Ray Serve deployment handle."""

    def __init__(self, handle: Any) -> None: ...
