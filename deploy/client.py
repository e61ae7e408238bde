"""A small HTTP client of one Whetstone, for the scripts that play or measure the loop."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import httpx

PAGE = 200


@dataclass(frozen=True)
class Answer:
    """A reply and the version that wrote it (`base`, `teacher`, `v1`, …)."""

    text: str
    model: str


class Client:
    """Talks to the ingress as any client would; a method raises `httpx.HTTPError` where the answer is no success."""

    def __init__(self, url: str, admin_key: str | None = None, timeout: float = 120.0) -> None:
        headers = {"authorization": f"Bearer {admin_key}"} if admin_key else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def ask(self, question: str, *, model: str = "production", max_tokens: int = 48, user: str | None = None) -> Answer:
        """One greedy reply to one question."""
        body = {
            "model": model,
            "messages": [{"role": "user", "content": question}],
            "max_tokens": max_tokens,
            "temperature": 0,
            **({"user": user} if user else {}),
        }
        reply = self._post("/v1/chat/completions", json=body)
        return Answer(reply.json()["choices"][0]["message"]["content"].strip(), reply.headers["x-whetstone-model"])

    def import_conversations(self, rows: Iterable[dict[str, Any]], key: str) -> dict[str, Any]:
        """Send all rows in one request, as JSON lines."""
        body = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        headers = {"content-type": "application/x-ndjson", "idempotency-key": key}
        answer: dict[str, Any] = self._post("/mlops/conversations", content=body.encode(), headers=headers).json()
        return answer

    def settings(self, **changes: Any) -> dict[str, Any]:
        """The live settings after these changes."""
        return dict(self._post("/mlops/settings", json=changes).json())

    def status(self) -> dict[str, Any]:
        return dict(self._get("/mlops/status"))

    def progress(self) -> dict[str, Any]:
        return dict(self._get("/mlops/training-progress"))

    def history(self) -> list[dict[str, Any]]:
        return _items(self._get("/mlops/training-history", limit=50))

    def version(self, n: int) -> dict[str, Any] | None:
        """What the history says of version n, or None before it exists."""
        return next((row for row in self.history() if row["version"] in (n, f"v{n}")), None)

    def events(self, limit: int = 200) -> list[dict[str, Any]]:
        return _items(self._get("/mlops/events", limit=limit))

    def conversations(self, **where: Any) -> Iterator[dict[str, Any]]:
        """Every stored conversation, page by page."""
        page = 1
        while items := _items(self._get("/mlops/conversations", page=page, page_size=PAGE, **where)):
            yield from items
            if len(items) < PAGE:
                return
            page += 1

    def _get(self, path: str, **query: Any) -> Any:
        return self._http.get(path, params=query).raise_for_status().json()

    def _post(self, path: str, **body: Any) -> httpx.Response:
        return self._http.post(path, **body).raise_for_status()


def _items(answer: Any) -> list[dict[str, Any]]:
    return list(answer["items"] if isinstance(answer, dict) else answer)
