"""What Prometheus reads of the ingress, in a registry of its own."""

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
        self.first_token_seconds = self._histogram("first_token_seconds", "Until a stream says something")
        self.chats = self._gauge("chats_running", "Chats in work now")
        self.champion = self._gauge("champion_version", "Version behind production; 0 is the base")
        self.circuits = Gauge(
            "whetstone_circuit", "0 closed, 1 half open, 2 open", ["upstream"], registry=self.registry
        )

    def text(self) -> bytes:
        return generate_latest(self.registry)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"whetstone_{name}", what, labels, registry=self.registry)

    def _histogram(self, name: str, what: str, *labels: str) -> Histogram:
        return Histogram(f"whetstone_{name}", what, labels, buckets=_SECONDS, registry=self.registry)

    def _gauge(self, name: str, what: str) -> Gauge:
        return Gauge(f"whetstone_{name}", what, registry=self.registry)
