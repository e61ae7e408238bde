"""What the ingress, the follower and the reconciler may ask of the engine, and the Ray Serve handle behind it."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

Body = dict[str, Any]
Item = dict[str, Any] | str

BASE = "base"
PLACES_TAKEN = "adapter_places_taken"


class AdapterNotServed(Exception):
    """An adapter was refused or could not be loaded; the message says expected, found and where. Picklable."""


class EngineUnavailable(Exception):
    """The engine cannot answer now (starting, restarting or dead); asking again later is right. Picklable."""


class EngineBusy(Exception):
    """The engine's queue is full; the request was not begun and may be sent again. Picklable."""


class EngineClient(Protocol):
    """The engine as its callers see it. Tests put a double behind this; production puts a Serve handle.

    Every method may raise EngineUnavailable.
    """

    def chat(self, body: Body) -> AsyncGenerator[Item, None]:
        """First item: head `{"status": int, "json": dict?}`. With `json` nothing follows; else vLLM's SSE strings.

        `body["model"]` is a concrete name (`base`, `v3`). Errors are OpenAI-shaped JSON in the head. Closing the
        generator (`aclose`, `aclosing`) aborts the request in vLLM. Raises EngineBusy before the head.
        """
        ...

    async def ensure(self, name: str, pinned: list[str]) -> dict[str, Any]:
        """Make `name` servable on every replica: `{"loaded": bool, "seconds": float}`; idempotent.

        Raises AdapterNotServed where one of them refuses: then no traffic may move.
        """
        ...

    async def loaded(self) -> list[str]:
        """Adapters resident on any replica, or just being loaded; `base` not among them."""
        ...

    async def ready(self) -> dict[str, Any]:
        """`model`, `lineage`, `max_model_len`, `unfinished`, `folded` (a version or None); raises while it cannot."""
        ...


class HandleEngine:
    """EngineClient over a Ray Serve deployment handle: Ray's errors become ours, an early close cancels.

    A request goes to one replica; what concerns adapters goes to all that run. A replica that dies meanwhile is
    passed over: the one that takes its place holds what was served last before it is called ready.
    """

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._streaming = handle.options(stream=True)

    async def chat(self, body: Body) -> AsyncGenerator[Item, None]:
        with translated():
            items: AsyncIterator[Item] = self._streaming.chat.remote(body)
            try:
                async for item in items:
                    yield item
            finally:
                items.cancel()  # type: ignore[attr-defined]

    async def ensure(self, name: str, pinned: list[str]) -> dict[str, Any]:
        done: list[dict[str, Any]] = await self._of_all("ensure", name, pinned)
        return {"loaded": any(one["loaded"] for one in done), "seconds": max(one["seconds"] for one in done)}

    async def loaded(self) -> list[str]:
        found: list[list[str]] = await self._of_all("loaded")
        return list(dict.fromkeys(name for names in found for name in names))

    async def ready(self) -> dict[str, Any]:
        with translated():
            facts: dict[str, Any] = await self._handle.ready.remote()
            return facts

    async def _of_all(self, method: str, *arguments: Any) -> list[Any]:
        from ray.exceptions import RayActorError

        with translated():
            found = await self._handle.broadcast(method, *arguments).results_async(return_exceptions=True)
            errors = [one for one in found if isinstance(one, BaseException)]
            refusals = [error for error in errors if not isinstance(error, RayActorError)]
            if refusals or len(errors) == len(found):
                raise (refusals or errors or [EngineUnavailable("no replica of the engine runs")])[0]
        return [one for one in found if not isinstance(one, BaseException)]


@contextmanager
def translated() -> Iterator[None]:
    from grpc.aio import AioRpcError  # type: ignore[import-untyped]  # what a handle lets through over gRPC
    from ray.exceptions import RayActorError, RayTaskError
    from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

    try:
        yield
    except BackPressureError as error:
        raise EngineBusy(str(error)) from None
    except (RayActorError, DeploymentUnavailableError, AioRpcError) as error:
        raise EngineUnavailable(f"the engine is restarting ({type(error).__name__})") from None
    except RayTaskError as error:
        raise error.cause from None
