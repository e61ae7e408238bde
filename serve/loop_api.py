"""The loop as seen and steered from outside: status, training, events, settings."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, Response

from core.live_settings import LiveSettings
from resources.store import Store
from resources.triggers import Trigger
from serve import figures
from serve.bodies import body_as, documented, idempotency_key, parse_json, read_bytes
from serve.error_docs import STORED, errors
from serve.errors import ApiError
from serve.limits import Gate, IngressLimits
from serve.live_view import LiveView
from serve.schema import EventsQuery, FinetuneBody, HistoryQuery
from serve.store_door import StoreDoor
from serve.streams import EventStream, wants_events
from serve.turn import event

SHOWN = "finetune_webhook_set"


def loop_routes(
    door: StoreDoor, live: LiveView, limits: IngressLimits, *, has_teacher: bool, progress_seconds: float = 1.0
) -> APIRouter:
    routes = APIRouter(prefix="/mlops", tags=["Loop"], responses=errors(*STORED, 409))
    watchers = Gate("progress streams", limits.progress_streams)

    @routes.get("/status")
    async def status() -> dict[str, Any]:
        """What was collected, what is being trained, and how well that went so far."""
        return await door.ask(figures.status)

    @routes.post("/finetune", status_code=202, openapi_extra=documented(FinetuneBody))
    async def finetune(request: Request) -> Response:
        """Ask for a run; it is never waited for. 409 says what is missing."""
        wish = await body_as(FinetuneBody, request, limits.body_bytes)
        key = idempotency_key(request)
        answer = await door.ask(lambda store: _ask_for_run(store, wish, key))
        return JSONResponse(answer, 202)

    @routes.get("/training-progress")
    async def training_progress(request: Request) -> Response:
        """Step, loss and time left; with `Accept: text/event-stream` again whenever it changed."""
        if not wants_events(request.headers.get("accept", "")):
            return JSONResponse(await door.ask(figures.progress))
        events = _watch(door, watchers, progress_seconds)
        await anext(events)  # takes its place, or is turned away while there is still a status to say so
        return EventStream(events)

    @routes.get("/training-history")
    async def training_history(query: Annotated[HistoryQuery, Query()]) -> list[dict[str, Any]]:
        """Every version, newest first, with its verdict and the reasons."""
        versions = await door.ask(lambda store: store.versions.history(query.limit, query.offset))
        return [figures.history_row(version) for version in versions]

    @routes.get("/events")
    async def events(query: Annotated[EventsQuery, Query()]) -> list[dict[str, Any]]:
        """What happened, newest first; with `after`, what followed that id."""
        page = await door.ask(lambda store: store.events.page(query.limit, query.after, query.type, query.offset))
        return [figures.event_row(found) for found in page]

    @routes.get("/settings")
    async def settings() -> dict[str, Any]:
        """All live settings; of the webhook only whether it is set."""
        return (await door.ask(lambda store: store.settings.get())).public()

    @routes.post("/settings", openapi_extra=documented(LiveSettings))
    async def change_settings(request: Request) -> dict[str, Any]:
        """Change some of them; they count from the next tick."""
        wanted = parse_json(await read_bytes(request, limits.body_bytes))
        if not isinstance(wanted, dict):
            raise ApiError(422, "the body: expected an object of settings", code="invalid_value")
        if wanted.get("answer_with") == "teacher" and not has_teacher:
            message = "answer_with: expected a configured teacher, found none: set OPENAI_API_KEY or OPENAI_BASE_URL"
            raise ApiError(422, message, param="answer_with", code="invalid_value")
        changed = await door.ask(lambda store: _change(store, wanted))
        live.settings = changed
        return changed.public()

    return routes


def _ask_for_run(store: Store, wish: FinetuneBody, key: str | None) -> dict[str, Any]:
    before = store.triggers.of_key(key) if key else None
    if before is not None:  # whatever became of it: what stands in the way now stood not in its way then
        return _asked_before(store, before)
    live, waiting = store.settings.get(), store.conversations.waiting()
    obstacle = _obstacle(live, waiting, wish.force)
    if obstacle:
        raise ApiError(409, obstacle[1], code=obstacle[0])
    trigger = store.triggers.add("api", wish.force, {"backup_existing": wish.backup_existing}, key)
    store.pause.clear(by="POST /mlops/finetune")  # a pause waits for a person to act, and this is one
    running = store.versions.unfinished()
    behind = f"; it begins when v{running.n} is finished" if running else ""
    if running and running.desired == "stop":
        behind += f", which a person stopped: resume or cancel it (/api/v1/admin/finetuning/jobs/{running.n})"
    return {
        "accepted": True,
        "trigger_id": trigger.id,
        "state": "queued" if trigger.created else "already_queued",
        "version": trigger.version,
        "waiting": waiting,
        "reason": f"{waiting} eligible conversations wait{behind}",
    }


def _asked_before(store: Store, trigger: Trigger) -> dict[str, Any]:
    became = (
        f"it became v{trigger.version}" if trigger.version else "it was cancelled" if trigger.cancelled else "it waits"
    )
    return {
        "accepted": True,
        "trigger_id": trigger.id,
        "state": "already_queued",
        "version": trigger.version,
        "waiting": store.conversations.waiting(),
        "reason": f"this Idempotency-Key asked for a run before: {became}",
    }


def _without_shown(store: Store, wanted: dict[str, Any]) -> dict[str, Any]:
    """What GET shows can be sent back: of the webhook it tells only whether it is set, which changes nothing."""
    is_set = store.settings.get().public()[SHOWN]
    if wanted.get(SHOWN, is_set) is not is_set:
        message = f"{SHOWN}: expected {is_set}, as it is, found another value: set or remove finetune_webhook_url"
        raise ApiError(
            422, message.replace("True", "true").replace("False", "false"), param=SHOWN, code="invalid_value"
        )
    return {name: value for name, value in wanted.items() if name != SHOWN}


def _change(store: Store, wanted: dict[str, Any]) -> LiveSettings:
    """Who switches automatic training on wants it to go on, so that a pause ends too."""
    by = "POST /mlops/settings"
    changed = store.settings.change(_without_shown(store, wanted), by=by)
    if wanted.get("finetune_auto_trigger"):
        store.pause.clear(by=by)
    return changed


def _obstacle(live: LiveSettings, waiting: int, force: bool) -> tuple[str, str] | None:
    """Code and sentence of why asking for a run now would never lead to one."""
    if not live.finetune_enabled:
        return "finetune_disabled", "Expected finetune_enabled=true, found false: change it by POST /mlops/settings"
    if waiting == 0:
        message = "Expected eligible conversations that wait, found none: nothing can be trained, not even by force"
        return "nothing_to_train", message
    missing = live.finetune_batch_size - waiting
    if missing > 0 and not force:
        found = f"found {waiting}: {missing} missing; `force` trains on what there is"
        return "below_threshold", f"Expected {live.finetune_batch_size} eligible conversations, {found}"
    return None


async def _watch(door: StoreDoor, watchers: Gate, seconds: float) -> AsyncGenerator[str, None]:
    """A first empty comment, then an event whenever something changed and a comment when nothing did for long."""
    with watchers.place():
        yield ": open\n\n"
        last, quiet = "", 0.0
        while True:
            now = json.dumps(await door.ask(figures.progress))
            quiet = 0.0 if now != last else quiet + seconds
            if now != last:
                yield event(now)
            elif quiet >= 15.0:
                quiet = 0.0
                yield ": still here\n\n"
            last = now
            await asyncio.sleep(seconds)
