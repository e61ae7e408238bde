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
from tests.faults.catalogue import DATABASES, NAMED, Database, Fault, groups
from tests.faults.lane import BATCH, ENDING, Lane
from tests.faults.play import Outcome, Player

HOME = ROOT / "var" / "faults"
ROUNDS = 2
MOST_VERSIONS = 12


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
) -> Iterator[tuple[Database, list[Fault]]]:
    """Groups that are still to be played, round by round, database by database."""
    passed = Counter((outcome.database, outcome.fault) for outcome in done)
    for turn in range(wanted.rounds):
        for database in databases:
            left = [
                fault
                for fault in NAMED
                if database in fault.databases
                and passed[database, fault.name] <= turn
                and re.search(wanted.only, fault.name)
            ]
            found = groups(left, seed=turn)
            for group in sorted(found, key=lambda group: not any(re.search(wanted.first, one.name) for one in group)):
                yield database, group


class Lanes:
    """Loops beside each other, each on one state after the other, until no group waits or the time is over."""

    def __init__(self, progress: Progress, server: str, minutes: float) -> None:
        self.queues: dict[Database, Queue[list[Fault]]] = {database: Queue() for database in DATABASES}
        self._progress, self._server = progress, server
        self._until = time.monotonic() + 60 * minutes
        self._making = threading.Lock()

    def run(self, lanes: int) -> None:
        threads = [threading.Thread(target=self._play_all, args=(at,)) for at in range(lanes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _play_all(self, lane: int) -> None:
        """Half of the lanes begin with one database, half with the other."""
        for database in (DATABASES[lane % 2], DATABASES[1 - lane % 2]):
            while not self.queues[database].empty() and not self._over():
                self._play_one(f"{database}-{lane}", database)

    def _over(self) -> bool:
        return ENDING.is_set() or time.monotonic() > self._until

    def _play_one(self, name: str, database: Database) -> None:
        """Go on with the state of this name, or begin one; it is left as it is when the time is over."""
        state = HOME / "states" / name
        url = _database(self._server, f"faults_{name.replace('-', '_')}", state) if database == "postgres" else ""
        with self._making:  # Alembic migrates one store a process at a time
            lane = Lane(state, HOME / "models", url)
        player = Player(lane, database, _say)
        is_used_up = False
        try:
            lane.start()
            self._progress.add(player.catch_up())
            if not lane.tables().versions:
                player.play([])  # a champion first, so that every point can be reached
            is_used_up = self._play_versions(lane, player, self.queues[database])
        except Exception as error:  # noqa: BLE001 - one broken state must not end the others
            self._broken(lane, player, error)
        finally:
            lane.end()
            if is_used_up:
                shutil.rmtree(state, ignore_errors=True)

    def _play_versions(self, lane: Lane, player: Player, queue: "Queue[list[Fault]]") -> bool:
        """Whether the state is used up; it is not when only the time is over."""
        while not self._over():
            if player.paused:
                return True
            if len(lane.tables().versions) > MOST_VERSIONS or lane.left() < 2 * BATCH or queue.empty():
                self._progress.add(player.play([]))
                return True
            with suppress(Empty):
                self._progress.add(player.play(queue.get_nowait()))
        return False

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
    """Faults by name: how often each struck, how often all held, the longest time to a decision."""
    lines = [f"{'fault':72} {'struck':>6} {'held':>5} {'slowest':>8}"]
    for fault in NAMED:
        mine = [outcome for outcome in outcomes if outcome.fault == fault.name]
        slowest = max((outcome.seconds for outcome in mine), default=0.0)
        lines.append(f"{fault.name:72} {len(mine):6} {sum(outcome.ok for outcome in mine):5} {slowest:6.0f} s")
    found = [fault for outcome in outcomes for fault in outcome.found]
    by = Counter(outcome.database for outcome in outcomes)
    lines += [
        "",
        f"{len(outcomes)} faults injected ({', '.join(f'{database} {n}' for database, n in by.items())}); after "
        f"{sum(outcome.ok for outcome in outcomes)} of them everything held and the loop went on by itself",
        f"{sum(outcome.facts for outcome in outcomes)} facts checked, {len(found)} violated",
    ]
    return "\n".join([*lines, *sorted(set(found))])


def main() -> int:
    """0 when every fault of every round struck and held."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--again", action="store_true", help="forget what was finished before")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each fault is injected on each database")
    parser.add_argument("--lanes", type=int, default=3, help="loops beside each other")
    parser.add_argument("--minutes", type=float, default=60, help="no new version is begun after so long")
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
        for database, group in waiting(progress.done(), databases, wanted):
            lanes.queues[database].put(group)
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
