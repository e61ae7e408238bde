"""What a deployment does at once, what waits for the next start, and saying which."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

from resources.deployments import START_SETTINGS
from resources.store import Store
from serve.deployment_plan import DeploymentPlan, named
from serve.engine_client import EngineClient, EngineUnavailable
from serve.model_moves import BY
from serve.model_schema import DeployBody
from serve.model_shapes import Shelf

_ASK_SECONDS = 2.0


def deploy(
    store: Store,
    n: int,
    body: DeployBody,
    on_disk: Collection[str],
    places: int,
    shelf: Shelf,
    plan: DeploymentPlan | None,
) -> dict[str, Any]:
    """NotFound; NotAllowed where it cannot be held; ApiError for what the next start would refuse. Nothing changed."""
    store.models.get(n)
    wished = body.start_settings()
    if plan is not None and wished:
        after = {**store.deployments.chosen(), **wished}
        plan.check({name: value for name, value in after.items() if value is not None})
    if body.pinned:
        store.deployments.pin(n, BY, places=places, on_disk=on_disk)
    elif body.pinned is False:
        store.deployments.unpin(n, BY)
    chosen = store.deployments.choose(wished, BY) if wished else store.deployments.chosen()
    model, running = store.models.get(n), plan.running() if plan else None
    later = _later(chosen, plan)
    return {
        "model_id": n,
        "model_name": model.model_name or shelf.unnamed,
        "version": model.version or f"v{n}",
        "pinned": model.pinned,
        "running": running,
        "chosen_for_next_start": named(chosen),
        "live": _live(n, body),
        "at_next_start": later,
        "message": "; ".join([*_live(n, body), *later]) or "nothing changes: it is so already",
    }


async def resident(engine: EngineClient, n: int) -> bool | None:
    """Whether an engine holds it now, which a new pin makes true within seconds; None where none answers."""
    try:
        async with asyncio.timeout(_ASK_SECONDS):
            return f"v{n}" in await engine.loaded()
    except (EngineUnavailable, TimeoutError):
        return None


def _live(n: int, body: DeployBody) -> list[str]:
    if body.pinned is None:
        return []
    if body.pinned:
        return [f"v{n} is held in every engine within seconds, and after each start"]
    return [f"v{n} is held no longer, unless it answers as production or in an experiment, or did before"]


def _later(chosen: Mapping[str, Any], plan: DeploymentPlan | None) -> list[str]:
    """Each with what it is now: Ray Serve could move some of them, and an engine whose share changes starts anew."""
    now: dict[str, Any] = {name: getattr(plan.settings, name) for name in START_SETTINGS} if plan else {}
    return [
        f"{name.upper()}={value:g} at the next start ({'unset' if now.get(name) is None else f'{now[name]:g}'} now)"
        for name, value in chosen.items()
        if now.get(name) != value
    ]
