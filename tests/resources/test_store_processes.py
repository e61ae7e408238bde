"""The store between processes, some of which are killed."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from resources.store import Store
from tests.resources.examples import event_types, fill, version_of

pytestmark = pytest.mark.slow  # starts processes

ROOT = Path(__file__).parents[2]


@contextmanager
def process(what: str, url: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "tests.resources.store_process", what, url]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


def line(child: "subprocess.Popen[str]") -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def test_what_was_acknowledged_is_there_after_a_kill(store: Store, store_url: str) -> None:
    with process("capture_for_ever", store_url) as child:
        acknowledged = {line(child) for _ in range(20)}
        child.kill()
        assert child.stdout is not None
        # the last line may be cut off by the kill
        acknowledged |= {rest.strip() for rest in child.stdout if rest.endswith("\n")}
    assert len(acknowledged) >= 20
    stored = {row.conversation.id for row in store.conversations.page(1, 100_000).items}
    assert acknowledged <= stored
    assert store.conversations.counts().eligible == len(stored)


def test_of_claims_from_several_processes_one_wins(store: Store, store_url: str) -> None:
    fill(store, *(f"c{number}" for number in range(10)))
    with process("claim_when_told", store_url) as one, process("claim_when_told", store_url) as two:
        children = [one, two]
        assert [line(child) for child in children] == ["ready", "ready"]
        for number, child in enumerate(children):
            assert child.stdin is not None
            child.stdin.write(f"run-{number}\n")
            child.stdin.flush()
        answers = sorted(line(child) for child in children)
    assert answers == ["busy", "won 1 1"]
    assert len(store.versions.rows(1)) == 10


def test_a_claim_that_is_killed_before_its_commit_never_was(store: Store, store_url: str) -> None:
    fill(store, "a")
    with process("claim_without_commit", store_url) as child:
        assert line(child) == "inside"
        child.kill()
        child.wait()
    claim = store.versions.claim("run-2")
    assert claim is not None
    assert (claim.n, claim.fence, claim.resumed) == (1, 1, False)
    assert version_of(store, "a") == 1
    assert event_types(store) == ["run_started"]
