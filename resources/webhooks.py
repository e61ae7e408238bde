"""Tells a Slack, Discord or other address what happened: from the outbox, at least once, with the event's id."""

import logging
from urllib.parse import urlsplit

import httpx

from resources.events import Event, Outgoing
from resources.store import Store

log = logging.getLogger(__name__)

EVENT_ID_HEADER = "x-whetstone-event"
_DISCORD_HOSTS = ("discord.com", "discordapp.com")
_DISCORD_LIMIT = 2000


def client() -> httpx.Client:
    """Short timeouts, no redirects (a body must not follow one elsewhere), no proxies from the environment."""
    return httpx.Client(timeout=httpx.Timeout(10, connect=5), follow_redirects=False, trust_env=False)


def deliver_due(store: Store, http: httpx.Client) -> int:
    """Send what is due and settle each in the outbox; how many were delivered."""
    secret = store.settings.get().finetune_webhook_url
    if secret is None:
        return 0
    url = secret.get_secret_value()
    delivered = 0
    for outgoing in store.outbox.due():
        problem = _send(http, url, outgoing)
        if problem is None:
            store.outbox.delivered(outgoing.id)
            delivered += 1
        else:
            log.warning("event %d was not delivered to the webhook: %s", outgoing.event.id, problem)
            store.outbox.failed(outgoing.id, problem)
    return delivered


def body(url: str, event: Event) -> dict[str, str]:
    """What Slack (`text`) or Discord (`content`) shows of an event."""
    text = f"Whetstone: {event.message}"
    host = urlsplit(url).hostname or ""
    if any(host == name or host.endswith(f".{name}") for name in _DISCORD_HOSTS):
        return {"content": text[:_DISCORD_LIMIT]}
    return {"text": text}


def _send(http: httpx.Client, url: str, outgoing: Outgoing) -> str | None:
    """None when it was taken, else why not. The address holds the secret, so no message repeats it."""
    headers = {EVENT_ID_HEADER: str(outgoing.event.id)}
    try:
        reply = http.post(url, json=body(url, outgoing.event), headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"expected an answer, found {type(error).__name__}"
    return None if reply.is_success else f"expected a status 2xx, found {reply.status_code}"
