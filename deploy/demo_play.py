"""The play of the demo: ask, import, watch the loop, ask again; each step with a line of progress."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx
from rich.console import Console

from core.verdict import Verdict
from deploy.background import BackgroundChat
from deploy.client import Answer, Client
from deploy.corpus import QUESTIONS
from deploy.demo_table import Counted, Turn
from deploy.services import pages
from deploy.timeline import Timeline
from deploy.watch import view_for
from resources.report import read_evaluation
from resources.settings import Settings
from resources.store import open_store

VERSION = 1
LOOP_SECONDS = 1800.0
SWAP_SECONDS = 120.0
POLL_SECONDS = 0.5
FINISHED = ("promoted", "rejected", "failed", "abandoned")


def addresses(settings: Settings) -> list[tuple[str, str]]:
    """The pages a person opens, last the report of the demo's version."""
    report = f"{settings.address}/api/v1/admin/models/{VERSION}/report"
    return [*pages(settings).items(), (f"report of v{VERSION}", report)]


class DemoFailed(RuntimeError):
    """The loop did not end with a new version that answers; the message says where it stopped and why."""


class Play:
    """One turn of the loop against a running stack, from the first questions to the same questions answered by v1."""

    def __init__(
        self,
        settings: Settings,
        client: Client,
        chat: BackgroundChat,
        console: Console,
        say: Callable[[str], None],
        loop_seconds: float = LOOP_SECONDS,
    ) -> None:
        self._settings = settings
        self._client = client
        self._chat = chat
        self._console = console
        self._say = say
        self._loop_seconds = loop_seconds
        self.timeline = Timeline()

    def turn(self, conversations: list[dict[str, Any]], stages: Sequence[tuple[str, float]]) -> Turn:
        """Play it; `stages` are the seconds of what came before. Raises DemoFailed."""
        before = self._ask("Five questions to `production`, which is still the base:")
        import_seconds = self.loop(conversations)
        after = self._ask(f"The same five questions, answered by v{VERSION}:")
        self._check_writers(after)
        return Turn(
            version=VERSION,
            questions=list(zip(QUESTIONS, before, after, strict=True)),
            evaluation=read_evaluation(self._settings.state_dir / "reports" / f"v{VERSION}"),
            verdict=self._verdict(),
            counted=Counted.of(self._client.conversations(), VERSION),
            stages=[*stages, ("import", import_seconds), *((text, s) for _, text, s in self.timeline.stages())],
            loop_seconds=self.timeline.total(),
            seen=self._chat.seen,
            urls=addresses(self._settings),
        )

    def loop(self, conversations: list[dict[str, Any]]) -> float:
        """From the import to the first reply of the new version; the seconds of the import. Raises DemoFailed."""
        import_seconds = self._import(conversations)
        version = self._follow()
        self._say(f"The verdict, drawn: {addresses(self._settings)[-1][1]}")
        self.timeline.read_events(self._client.events(), VERSION)
        if version["state"] != "promoted":
            reasons = "; ".join(version["reasons"]) or version.get("error") or "no reason was given"
            raise DemoFailed(f"v{VERSION} ended as {version['state']}: {reasons}")
        self._await_swap()
        return import_seconds

    def _ask(self, title: str) -> list[Answer]:
        self._say(title)
        answers = []
        for question in QUESTIONS:
            answers.append(self._client.ask(question))
            self._say(f"  {question}  ->  [{answers[-1].model}] {' '.join(answers[-1].text.split())}")
        return answers

    def _import(self, conversations: list[dict[str, Any]]) -> float:
        self._say(f"Importing {len(conversations):,} conversations of human provenance in one request.")
        began = time.monotonic()
        answer = self._client.import_conversations(conversations, key="demo")
        self.timeline.mark("acknowledged")
        seconds = time.monotonic() - began
        found = (
            f"{answer['accepted']:,} accepted, {answer['duplicates']:,} duplicates, {len(answer['rejected'])} rejected"
        )
        self._say(f"  {found} ({seconds:.1f} s). The sensor looks every few seconds.")
        return seconds

    def _follow(self) -> dict[str, Any]:
        """Show the run until its version is finished."""
        deadline = time.monotonic() + self._loop_seconds
        error = None
        with view_for(self._console) as view:
            while time.monotonic() < deadline:
                try:
                    progress, version = self._client.progress(), self._client.version(VERSION)
                except httpx.HTTPError as problem:
                    self._say(f"  the progress could not be read: {problem}")
                    time.sleep(POLL_SECONDS)
                    continue
                self.timeline.read(progress, version)
                view.show(progress, self._chat.seen)
                if version and version["state"] in FINISHED:
                    return version
                if version and version.get("error") not in (None, error):
                    error = version["error"]
                    self._say(f"  attempt {version['attempts']} failed and is repeated: {error}")
                    if version.get("advice"):
                        self._say(f"  what to do: {version['advice']}")
                if progress["state"] == "registering":
                    self._chat.pause = 0.1  # the first reply of the new version is to be seen as soon as it is there
                time.sleep(POLL_SECONDS)
        raise DemoFailed(f"after {self._loop_seconds:.0f} s the run is still {progress['state']}; last error: {error}")

    def _await_swap(self) -> None:
        self._say(f"v{VERSION} is promoted; the engine loads it while it serves.")
        at = self._chat.wait_for(f"v{VERSION}", SWAP_SECONDS)
        if at is None:
            raise DemoFailed(f"v{VERSION} is promoted but did not answer as `production` within {SWAP_SECONDS:.0f} s")
        self.timeline.mark("answered", at)

    def _check_writers(self, answers: Sequence[Answer]) -> None:
        writers = {answer.model for answer in answers}
        if writers != {f"v{VERSION}"}:
            raise DemoFailed(f"expected every answer from v{VERSION}, found {sorted(writers)}")

    def _verdict(self) -> Verdict:
        """All checks with their intervals, which the history route shortens to reasons."""
        store = open_store(self._settings.database_url, live_defaults=self._settings.live())
        try:
            verdict = store.versions.get(VERSION).verdict
        finally:
            store.close()
        if verdict is None:
            raise DemoFailed(f"v{VERSION} is promoted but no verdict is stored")
        return verdict
