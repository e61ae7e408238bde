"""`make test-faults`: every fault on both databases, more than once, gone on with where it was broken off."""

import argparse
import json
import re
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from queue import Empty, Queue

import psycopg

from deploy.postgres import missing, private_server
from resources.settings import ROOT
from tests.faults.base import prepared
from tests.faults.catalogue import DATABASES, NAMED, Database, Fault, Model, groups
from tests.faults.lane import BATCH, ENDING, Lane
from tests.faults.play import Outcome, Player

HOME = ROOT / "var" / "faults"
ROUNDS = 2
MOST_VERSIONS = 12
# how often a fault is tried in a run of the harness before it counts as one that nobody comes to
TRIES = 3
Kind = tuple[Database, Model]
KINDS: tuple[Kind, ...] = (("sqlite", "real"), ("sqlite", "small"), ("postgres", "small"))


class Progress:
    """One line a finished fault, on disk as soon as it is known; one that nobody came to is still to be played."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)

    def done(self) -> list[Outcome]:
        if not self._path.exists():
            return []
        return [Outcome(**json.loads(line)) for line in self._path.read_text("utf-8").splitlines()]

    def add(self, outcomes: list[Outcome]) -> None:
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            for outcome in outcomes:
                if outcome.struck:
                    file.write(json.dumps(asdict(outcome), ensure_ascii=False) + "\n")
                held = "held" if outcome.ok else "FAIL" if outcome.struck else "not reached"
                _say(f"{held:11} {outcome.database:8} {outcome.seconds:4.0f} s  {outcome.fault}")
                for fault in outcome.found[:5]:
                    _say(f"       {fault}")


def waiting(
    done: list[Outcome], databases: list[Database], wanted: argparse.Namespace
) -> Iterator[tuple[Kind, list[Fault]]]:
    """Groups that are still to be played, round by round, database by database; the real model once.

    What did not hold is played again, and stays in the table.
    """
    passed = Counter((outcome.database, outcome.fault) for outcome in done if outcome.ok)
    for turn in range(wanted.rounds):
        for database, model in KINDS:
            if database not in databases or (model == "real" and turn):
                continue
            left = [
                fault
                for fault in NAMED
                if fault.model == model
                and database in fault.databases
                and passed[database, fault.name] <= turn
                and re.search(wanted.only, fault.name)
            ]
            found = groups(left, seed=turn)
            for group in sorted(found, key=lambda group: not any(re.search(wanted.first, one.name) for one in group)):
                yield (database, model), group


class Lanes:
    """Loops beside each other, each on one state after the other, until no group waits or the time is over."""

    def __init__(self, progress: Progress, server: str, minutes: float) -> None:
        self.queues: dict[Kind, Queue[list[Fault]]] = {kind: Queue() for kind in KINDS}
        self._progress, self._server = progress, server
        self._until = time.monotonic() + 60 * minutes
        self._making = threading.Lock()
        self._tried: Counter[tuple[Database, str]] = Counter()

    def run(self, lanes: int) -> None:
        threads = [threading.Thread(target=self._play_all, args=(at,)) for at in range(lanes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _play_all(self, lane: int) -> None:
        """Each begins with another kind; the real model is one lane's alone, whose versions take minutes."""
        small = [kind for kind in KINDS if kind[1] == "small"]
        first = [kind for kind in KINDS if kind[1] == "real"] if lane == 0 else []
        for kind in (*first, *small[lane % 2 :], *small[: lane % 2]):
            while not self.queues[kind].empty() and not self._over():
                self._play_one(f"{'-'.join(kind)}-{lane}", kind)

    def _over(self) -> bool:
        return ENDING.is_set() or time.monotonic() > self._until

    def _play_one(self, name: str, kind: Kind) -> None:
        """Go on with the state of this name, or begin one; it is left as it is when the time is over."""
        state, (database, model) = HOME / "states" / name, kind
        url = _database(self._server, f"faults_{name.replace('-', '_')}", state) if database == "postgres" else ""
        with self._making:  # Alembic migrates one store a process at a time
            lane = Lane(state, HOME / "models", url, model)
        player = Player(lane, database, _say)
        is_used_up = False
        try:
            lane.start()
            self._done(kind, player.catch_up())
            is_used_up = self._play_versions(lane, player, kind)
        except Exception as error:  # noqa: BLE001 - one broken state must not end the others
            self._broken(lane, player, error)
        finally:
            lane.end()
            if is_used_up:
                shutil.rmtree(state, ignore_errors=True)

    def _play_versions(self, lane: Lane, player: Player, kind: Kind) -> bool:
        """Whether the state is used up; it is not when only the time is over."""
        while not self._over():
            if player.paused:
                return True
            if len(lane.standing()) > MOST_VERSIONS or lane.left() < 2 * BATCH or self.queues[kind].empty():
                self._done(kind, player.rest())
                return True
            with suppress(Empty):
                self._done(kind, player.play(self.queues[kind].get_nowait()))
        if not ENDING.is_set() and player.unfinished():
            self._done(kind, player.rest())
        return False

    def _done(self, kind: Kind, outcomes: list[Outcome]) -> None:
        """Note them; what nobody came to waits for another version."""
        self._progress.add(outcomes)
        missed = {outcome.fault for outcome in outcomes if not outcome.struck}
        for name in missed:
            self._tried[kind[0], name] += 1
        again = [fault for fault in NAMED if fault.name in missed and self._tried[kind[0], fault.name] < TRIES]
        for group in groups(again, seed=0):
            self.queues[kind].put(group)

    def _broken(self, lane: Lane, player: Player, error: Exception) -> None:
        if ENDING.is_set():
            return
        self._progress.add(player.unfinished())
        kept = HOME / "stuck" / f"{lane.state.name}-{time.strftime('%H%M%S')}"
        kept.parent.mkdir(exist_ok=True)
        lane.state.rename(kept)
        (kept / "stuck.txt").write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
        _say(f"{lane.state.name}: {type(error).__name__}: {str(error).splitlines()[0]}; kept in {kept}")


def table(outcomes: list[Outcome]) -> str:
    """Faults by name: how often each struck and held on each database, the longest time to a decision; then counts."""
    lines = [f"{'fault':84} {'sqlite':>9} {'postgres':>9} {'slowest':>8}", f"{'':84} {'held/struck':>19}"]
    for fault in NAMED:
        mine = [outcome for outcome in outcomes if outcome.fault == fault.name]
        cells = [_held([one for one in mine if one.database == name]) for name in DATABASES if name in fault.databases]
        cells = cells if len(cells) > 1 else [cells[0], "–"] if "sqlite" in fault.databases else ["–", cells[0]]
        slowest = max((outcome.seconds for outcome in mine), default=0.0)
        lines.append(f"{fault.name:84} {cells[0]:>9} {cells[1]:>9} {slowest:6.0f} s")
    return "\n".join([*lines, "", *_counts(outcomes), *sorted({said for one in outcomes for said in one.found})])


def _held(outcomes: list[Outcome]) -> str:
    return f"{sum(outcome.ok for outcome in outcomes)}/{len(outcomes)}"


def _counts(outcomes: list[Outcome]) -> Iterator[str]:
    by = Counter(outcome.database for outcome in outcomes)
    real = {fault.name for fault in NAMED if fault.model == "real"}
    struck = {(outcome.database, outcome.fault) for outcome in outcomes}
    unstruck = [f"{name} on {on}" for on, name in _all_of_them() if (on, name) not in struck]
    yield f"{'injected':24} {len(outcomes):6}   " + ", ".join(
        [*(f"{database} {n}" for database, n in by.items()), f"real model {sum(o.fault in real for o in outcomes)}"]
    )
    yield f"{'held, and went on':24} {sum(outcome.ok for outcome in outcomes):6}"
    yield f"{'conversations lost':24} {sum(outcome.lost for outcome in outcomes):6}"
    yield f"{'doubled':24} {sum(outcome.doubled for outcome in outcomes):6}"
    yield f"{'half artifacts':24} {sum(outcome.half for outcome in outcomes):6}"
    violated, facts = sum(len(outcome.found) for outcome in outcomes), sum(outcome.facts for outcome in outcomes)
    yield f"{'facts violated':24} {violated:6}   of {facts}"
    yield f"{'never struck':24} {len(unstruck):6}   of {len(list(_all_of_them()))} kinds"
    yield from (f"    {one}" for one in unstruck)


def _all_of_them() -> Iterator[tuple[Database, str]]:
    return ((database, fault.name) for fault in NAMED for database in fault.databases)


def main() -> int:
    """0 when every fault of every round struck and held."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--again", action="store_true", help="forget what was finished before")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each fault is injected on each database")
    parser.add_argument("--lanes", type=int, default=3, help="loops beside each other")
    parser.add_argument("--minutes", type=float, default=55, help="no new fault is begun after so long")
    parser.add_argument("--database", choices=DATABASES, help="one of the two alone")
    parser.add_argument("--server", default="", help="a PostgreSQL server to use; one of our own is started otherwise")
    parser.add_argument("--only", default="", help="faults whose name this pattern is found in")
    parser.add_argument("--first", default="", help="faults whose name this pattern is found in come before others")
    parser.add_argument("--table", action="store_true", help="print what was found so far and end")
    wanted = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ENDING.set())
    progress = Progress(HOME / "progress.jsonl")
    if wanted.again:
        (HOME / "progress.jsonl").unlink(missing_ok=True)
    if not wanted.table:
        _run(wanted, progress)
    outcomes = progress.done()
    sys.stdout.write(table(outcomes) + "\n")
    left = list(waiting(outcomes, list(DATABASES), wanted))
    return 0 if not left and all(outcome.ok for outcome in outcomes) else 1


def _run(wanted: argparse.Namespace, progress: Progress) -> None:
    (HOME / "models").mkdir(parents=True, exist_ok=True)
    prepared(HOME / "models")
    databases: list[Database] = [wanted.database] if wanted.database else list(DATABASES)
    with ExitStack() as stack:
        server = wanted.server
        if "postgres" in databases and not server:
            if problem := missing():
                raise SystemExit(problem)
            server = stack.enter_context(private_server())
        lanes = Lanes(progress, server, wanted.minutes)
        for kind, group in waiting(progress.done(), databases, wanted):
            lanes.queues[kind].put(group)
        lanes.run(wanted.lanes)


def _database(server: str, name: str, state: Path) -> str:
    """The database of a state: a new one for a new state, or where the server is new."""
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        there = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
        if not there:
            shutil.rmtree(state, ignore_errors=True)
        if not state.exists():
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {name}")
    return f"{server}/{name}"


def _say(line: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
