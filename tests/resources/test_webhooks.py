import json
import logging

import httpx
import pytest

from resources import webhooks
from resources.store import Store

SLACK = "https://hooks.slack.example/services/T0/B0/SECRET"


class Receiver:
    """Whoever listens at the webhook's address."""

    def __init__(self, status: int = 200) -> None:
        self.status, self.got = status, list[httpx.Request]()
        self.error: Exception | None = None

    def client(self) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(self._answer), follow_redirects=False)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.got.append(request)
        if self.error:
            raise self.error
        return httpx.Response(self.status, headers={"location": "https://elsewhere.example/"})


def with_address(store: Store, url: str = SLACK) -> None:
    store.settings.change({"finetune_webhook_url": url}, by="test")


def test_an_event_is_sent_once_with_its_id(sqlite_store: Store) -> None:
    with_address(sqlite_store)
    event = sqlite_store.events.add("promoted", "v1 answers as production now", 1)
    receiver = Receiver()
    assert webhooks.deliver_due(sqlite_store, receiver.client()) == 1
    assert webhooks.deliver_due(sqlite_store, receiver.client()) == 0
    (request,) = receiver.got
    assert json.loads(request.content) == {"text": "Whetstone: v1 answers as production now"}
    assert request.headers[webhooks.EVENT_ID_HEADER] == str(event.id)
    assert str(request.url) == SLACK


@pytest.mark.parametrize("status", [301, 404, 500])
def test_what_is_not_taken_waits_and_is_not_sent_again_at_once(sqlite_store: Store, status: int) -> None:
    with_address(sqlite_store)
    sqlite_store.events.add("promoted", "v1", 1)
    receiver = Receiver(status)
    assert webhooks.deliver_due(sqlite_store, receiver.client()) == 0
    assert webhooks.deliver_due(sqlite_store, receiver.client()) == 0
    assert len(receiver.got) == 1, "neither followed elsewhere nor hammered"
    assert sqlite_store.events.page(type="webhook_delivered") == []


def test_an_address_that_does_not_answer_is_never_named(sqlite_store: Store, caplog: pytest.LogCaptureFixture) -> None:
    with_address(sqlite_store)
    sqlite_store.events.add("promoted", "v1", 1)
    receiver = Receiver()
    receiver.error = httpx.ConnectError(f"cannot reach {SLACK}")
    with caplog.at_level(logging.DEBUG, logger="resources"):
        assert webhooks.deliver_due(sqlite_store, receiver.client()) == 0
    assert "ConnectError" in caplog.text
    assert "SECRET" not in caplog.text


def test_without_an_address_nothing_is_sent(sqlite_store: Store) -> None:
    sqlite_store.events.add("promoted", "v1", 1)
    receiver = Receiver()
    assert webhooks.deliver_due(sqlite_store, receiver.client()) == 0
    assert receiver.got == []


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("https://discord.com/api/webhooks/1/x", "content"),
        ("https://canary.discord.com/api/webhooks/1/x", "content"),
        ("https://notdiscord.com/x", "text"),
        ("https://example.org/discord.com", "text"),
        (SLACK, "text"),
    ],
)
def test_discord_and_slack_get_the_body_they_read(sqlite_store: Store, url: str, key: str) -> None:
    event = sqlite_store.events.add("promoted", "x" * 3000, 1)
    body = webhooks.body(url, event)
    assert list(body) == [key]
    assert key == "text" or len(body["content"]) == 2000


def test_the_client_follows_no_redirect_and_waits_for_no_one_long() -> None:
    with webhooks.client() as http:
        assert http.follow_redirects is False
        assert max(t for t in http.timeout.as_dict().values() if t) <= 10
