"""What the tests of several processes run in another one: `python -m tests.resources.store_process <what> <url>`."""

import sys
import time

from sqlalchemy import Connection

from core.live_settings import LiveSettings
from resources.capture import CaptureWriter
from resources.claims import claim_version
from resources.store import Store, VersionBusy, open_store
from tests.conftest import LINEAGE
from tests.resources.examples import conversation


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def capture_for_ever(store: Store) -> None:
    """Says the id of each conversation once it is acknowledged."""
    writer = CaptureWriter(store)
    number = 0
    while True:
        futures = [writer.submit(conversation(f"c{number + i}")) for i in range(3)]
        for future in futures:
            say(future.result().id)
        number += 3


def claim_when_told(store: Store) -> None:
    say("ready")
    owner = sys.stdin.readline().strip()
    try:
        claim = store.versions.claim(owner)
        say("nothing" if claim is None else f"won {claim.n} {claim.fence}")
    except VersionBusy:
        say("busy")


def claim_without_commit(store: Store) -> None:
    """Dies inside the transaction of the claim, by the hand of the test."""

    def work(connection: Connection) -> None:
        claim_version(connection, "killed", None, LINEAGE, LiveSettings().model_dump(mode="json"), 5)
        say("inside")
        time.sleep(60)

    store.database.write(work)


if __name__ == "__main__":
    what = {function.__name__: function for function in (capture_for_ever, claim_when_told, claim_without_commit)}
    what[sys.argv[1]](open_store(sys.argv[2], live_defaults=LiveSettings(), lineage=LINEAGE))
