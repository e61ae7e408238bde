"""One version after the other through one lane, each struck by some faults, and what became of them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

from resources.settings import ROOT
from tests.e2e.checker import DOUBLED, FINISHED, HALF, LOST, Findings
from tests.faults.actions import NotInjected, Undo, act
from tests.faults.catalogue import LASTING, NAMED, Fault
from tests.faults.lane import BATCH, DECIDE_SECONDS, ENDING, FAULT_SECONDS, Lane, Stuck

SETTLE_SECONDS = 45.0
SENDERS = ("capture_transaction.after", "capture.after")


@dataclass
class Outcome:
    """What one fault came to; `ok` only when it struck, nothing was found, and the version after it was decided too."""

    fault: str
    database: str
    struck: bool = False
    version: int = 0
    seconds: float = 0.0
    decided: str = ""
    went_on: bool = False
    facts: int = 0
    found: list[str] = field(default_factory=list)
    lost: int = 0
    doubled: int = 0
    half: int = 0

    @property
    def ok(self) -> bool:
        return self.struck and bool(self.decided) and self.went_on and not self.found

    def judged(self, looked: Findings) -> None:
        """Add what the checker said."""
        self.facts += looked.counts["facts checked"]
        self.found += looked.faults
        self.lost += looked.counts[LOST]
        self.doubled += looked.counts[DOUBLED]
        self.half += looked.counts[HALF]


@dataclass
class _Struck:
    outcome: Outcome
    at: float
    undo: Undo


class Player:
    """Plays versions on a lane; a fault is done when the version after its own is decided by itself."""

    def __init__(self, lane: Lane, database: str, say: Callable[[str], None] = lambda line: None) -> None:
        self._lane, self._database, self._say = lane, database, say
        self._seen = len(lane.fired())
        self._note = lane.state / "waiting.json"
        kept = json.loads(self._note.read_text("utf-8")) if self._note.exists() else []
        self._waiting = [Outcome(**one) for one in kept]

    def play(self, faults: Sequence[Fault]) -> list[Outcome]:
        """A version with these faults; returns those of the version before, done by now. Stuck says what hangs."""
        lane, outcomes = self._lane, [Outcome(fault.name, self._database) for fault in faults]
        n = max(lane.standing(), default=0) + 1
        before, self._waiting = self._waiting, outcomes
        for path in lane.faults.glob("*.go"):
            path.unlink()
        for fault in faults:
            lane.strike(fault.point, fault.action, **fault.more)
        self._send(any(fault.point in SENDERS for fault in faults))
        try:
            self._until_decided(n, list(zip(faults, outcomes, strict=True)))
        except Exception as error:
            self._waiting = [*before, *outcomes]
            if ENDING.is_set():
                self._keep([*before, *(one for one in outcomes if self._needs_no_undo(one))])
                raise
            for outcome in self._waiting:
                outcome.found.append(f"{type(error).__name__}: {str(error).splitlines()[0]}")
            raise
        for outcome in before:
            outcome.went_on = True
        self._keep(outcomes)
        return before

    def catch_up(self) -> list[Outcome]:
        """What was left when the harness was ended: decided by now without a hand, it is done like all others."""
        lane = self._lane
        lane.until(self._nothing_at_work, "what was left to be decided", DECIDE_SECONDS[lane.model])
        newest = max(lane.standing(), default=0)
        broken_off = [_Struck(one, 0.0, _nothing) for one in self._waiting if not one.decided]
        self._settled(newest, broken_off)
        done = [one for one in self._waiting if one.version < newest]
        for outcome in done:
            outcome.went_on = True
        self._waiting = [one for one in self._waiting if one.version == newest]
        self._keep(self._waiting)
        return done

    def _keep(self, outcomes: Sequence[Outcome]) -> None:
        self._note.write_text(json.dumps([asdict(one) for one in outcomes]), encoding="utf-8")

    def _needs_no_undo(self, outcome: Outcome) -> bool:
        """Struck, and nothing was to follow that did not any more."""
        return outcome.struck and next(one for one in NAMED if one.name == outcome.fault).then not in LASTING

    def rest(self) -> list[Outcome]:
        """One more version that nothing strikes: what was struck last is done then."""
        return self.play([])

    def unfinished(self) -> list[Outcome]:
        return self._waiting

    @property
    def paused(self) -> bool:
        """Two versions were rejected one after the other: the loop waits for a person, as it should."""
        return self._lane.store.pause.get() is not None

    def _nothing_at_work(self) -> bool:
        """No version is, and no batch waits for one."""
        tables = self._lane.tables()
        waiting = sum(row["version"] is None for row in tables.conversations.values())
        return waiting < BATCH and all(version["state"] in FINISHED for version in tables.versions.values())

    def _send(self, by_sender: bool) -> None:
        if not by_sender:
            self._lane.send()
            return
        batch = self._lane.batch()
        path = self._lane.faults / "batch.json"
        path.write_text(json.dumps([one.model_dump(mode="json") for one in batch]), encoding="utf-8")
        command = [sys.executable, "-m", "tests.faults.sender", str(path)]
        environment = {**os.environ, **self._lane.environment}
        for _ in range(3):
            ended = subprocess.run(command, cwd=ROOT, env=environment, timeout=120, check=False)
            if ended.returncode == 0:
                break
        assert ended.returncode == 0, "expected the sender to be acknowledged the third time at the latest"
        self._lane.acknowledged(batch)

    def _until_decided(self, n: int, expected: list[tuple[Fault, Outcome]]) -> None:
        lane, struck = self._lane, list[_Struck]()

        def look() -> bool:
            struck.extend(self._newly_struck(n, expected))
            return lane.decided(n)

        try:
            lane.until(look, f"v{n} to be decided", DECIDE_SECONDS[lane.model] + FAULT_SECONDS * len(expected))
            # the ingress comes to its points after the decision
            late = [fault for fault, outcome in expected if not outcome.struck and "alias" in fault.point]
            if late and lane.state_of(n) == "promoted":
                lane.until(lambda: look() and all(o.struck for _, o in expected), "the ingress to be struck", 30)
        finally:
            for one in struck:
                _set_right(one)
        self._settled(n, struck)
        for fault, outcome in expected:
            if not outcome.struck:
                lane.unstrike(fault.point)

    def _newly_struck(self, n: int, expected: list[tuple[Fault, Outcome]]) -> list[_Struck]:
        found = []
        fired = self._lane.fired()
        for line in fired[self._seen :]:
            fault, outcome = next((f, o) for f, o in expected if f.point == line["point"])
            outcome.struck, outcome.version = True, n
            self._say(f"struck      {self._database:8} v{n:<4} {fault.name}")
            try:
                undo = act(self._lane, fault.then, line) if fault.then else _nothing
            except NotInjected as error:
                outcome.struck = False
                self._say(f"            {error}")
                continue
            outcome.judged(self._lane.judge(at_rest=False, mlflow="mlflow" not in fault.then))
            found.append(_Struck(outcome, time.monotonic(), undo))
        self._seen = len(fired)
        return found

    def _settled(self, n: int, struck: list[_Struck]) -> None:
        """At rest, once the registry followed: what is still wrong then is wrong."""
        lane, state = self._lane, self._lane.state_of(n)
        decided_at, deadline = time.monotonic(), time.monotonic() + SETTLE_SECONDS
        looked = lane.judge(at_rest=True)
        while looked.faults and time.monotonic() < deadline:
            if ENDING.is_set():
                raise Stuck("ended before it came to rest")
            lane.watch()
            time.sleep(0.5)
            looked = lane.judge(at_rest=True)
        for one in struck:
            one.outcome.decided = str(state)
            one.outcome.seconds = decided_at - one.at if one.at else 0.0
            one.outcome.judged(looked)
            if state not in ("promoted", "rejected"):
                one.outcome.found.append(f"v{n} ended as {state}")
        if looked.faults and not struck:
            raise Stuck(f"without a fault: {looked.faults}")


def _set_right(one: _Struck) -> None:
    """What is found while a fault is taken back belongs to it, and keeps no other from being taken back."""
    try:
        one.undo()
    except AssertionError as error:
        one.outcome.found.append(str(error))


def _nothing() -> None:
    return
