"""What Prometheus reads of the ingress, in a registry of its own."""

import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = self._counter("http_requests", "Requests by their answer", "method", "route", "status")
        self.replies = self._counter("replies", "Replies: completed, cut, abandoned, failed", "model", "outcome")
        self.uncollected = self._counter("replies_uncollected", "Replies that are not in the store", "reason")
        self.experiment_replies = self._counter("experiment_replies", "Replies of an experiment", "arm", "outcome")
        self.experiment_unnoted = self._counter("experiment_replies_unnoted", "Replies an experiment does not know of")
        self.features = self._counter("feature_lookups", "Features of a user: found, none, failed, slow", "outcome")
        self.request_seconds = self._histogram("http_request_seconds", "Until the last byte", "route")
        self.first_token_seconds = self._histogram("first_token_seconds", "Until a stream says something", "model")
        self.between_tokens_seconds = self._histogram("between_tokens_seconds", "Between two pieces", "model")
        self.tokens = self._counter("tokens", "Tokens as the model counts them: prompt, reply", "model", "kind")
        self.chats = self._gauge("chats_running", "Chats in work now")
        self.waiting = self._gauge("chats_waiting", "Chats in work that nobody has begun to answer")
        self.engine = self._gauge("engine_requests", "Requests in the engine: running, or waiting there")
        self.captures = self._counter(
            "captures", "Conversations stored, and whether they may be trained on", "eligible"
        )
        self.capture_seconds = self._histogram("capture_seconds", "Until a conversation is on disk")
        self.captures_waiting = self._gauge("captures_waiting", "Conversations that wait for the store")
        self.swaps = self._gauge("swaps", "Swaps of production since the start: done, failed", "outcome")
        self.swap_seconds = self._gauge("swap_seconds", "What the last swap took")
        self.loop_state = self._gauge("loop_state", "1 for the state in which the loop is", "state")
        self.loop_waiting = self._gauge("loop_conversations_waiting", "Eligible conversations in no version")
        self.champion = self._gauge("champion_version", "Version behind production; 0 is the base")
        self.circuits = self._gauge("circuit", "0 closed, 1 half open, 2 open", "upstream")

    def count_tokens(self, model: str, usage: Any) -> None:
        """What a model says that a reply took; most pieces of a stream say nothing."""
        if isinstance(usage, dict):
            for kind, name in (("prompt", "prompt_tokens"), ("reply", "completion_tokens")):
                if isinstance(number := usage.get(name), int) and number > 0:
                    self.tokens.labels(model, kind).inc(number)

    def text(self) -> bytes:
        return generate_latest(self.registry)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"whetstone_{name}", what, labels, registry=self.registry)

    def _histogram(self, name: str, what: str, *labels: str) -> Histogram:
        return Histogram(f"whetstone_{name}", what, labels, buckets=_SECONDS, registry=self.registry)

    def _gauge(self, name: str, what: str, *labels: str) -> Gauge:
        return Gauge(f"whetstone_{name}", what, labels, registry=self.registry)


class Pace:
    """How fast one stream speaks: its first piece counts from when it was asked for, each later one from the last."""

    def __init__(self, metrics: Metrics, model: str, asked: float) -> None:
        self.model, self._last = model, asked
        self._first: Histogram | None = metrics.first_token_seconds.labels(model)
        self._between = metrics.between_tokens_seconds.labels(model)

    def said(self) -> None:
        """A piece with words came."""
        now = time.monotonic()
        (self._first or self._between).observe(now - self._last)
        self._first, self._last = None, now
