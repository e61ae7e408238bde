"""Finishes what was asked to be erased: swept when it is asked for, and again once what was being written then is."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from resources.agent_memory import FILE_NAME, AgentMemory, AgentThreads
from resources.erased_places import DatasetFiles, Evaluations, MeasuredAnswers, Place, ResetCopies
from resources.erased_uploads import UploadedFiles
from resources.erasure_rows import Past, Pending
from resources.store import Store

# longer than any step that had read the store before the erasure still takes to write what it read
SETTLED = timedelta(minutes=10)


def places_of(store: Store, state_dir: Path) -> list[Place]:
    """Every place outside the store that holds conversations."""
    return [
        Evaluations(store.pseudonyms, state_dir / "reports", state_dir / "mlartifacts"),
        DatasetFiles(state_dir / "datasets", store.erasures.unknown, lambda: _untrained(store), store.pseudonyms),
        ResetCopies(state_dir / "backups"),
        MeasuredAnswers(state_dir / "cache" / "losses"),
        UploadedFiles(state_dir / "uploads", store.uploads),
        AgentThreads(AgentMemory(state_dir / FILE_NAME)),
    ]


def finish(store: Store, places: Sequence[Place], settled: timedelta = SETTLED) -> int:
    """Sweep what is due, each place by itself; how many pieces were removed. RuntimeError says what failed."""
    removed, problems = 0, []
    for who in store.erasures.due(settled):
        counts, failed = _sweep(who, places)
        removed += sum(counts.values())
        problems += failed
        if not failed:
            if who.last:
                store.conversations.erase_late(who.user_id, who.asked_at)
            store.erasures.swept(who, counts)
            store.database.forget_deleted()
    if problems:
        raise RuntimeError(f"Expected an erasure to be done in all files, found: {'; '.join(problems)}")
    return removed


def erase_again(store: Store, places: Sequence[Place], past: Sequence[Past]) -> int:
    """Erase what a restored copy brought back of people who were erased since it was made; how many people."""
    known = {(one.salt, one.digest, one.asked_at) for one in store.erasures.past()}
    since = [one for one in past if (one.salt, one.digest, one.asked_at) not in known]
    users = store.erasures.users().union(*(place.users() for place in places)) if since else set()
    back = {user for user in users if any(one.was_of(user) for one in since)}
    names = store.pseudonyms()
    # files know some of them by pseudonym alone, which is a name like another to what sweeps them
    back -= {pseudonym for user in back if (pseudonym := names.of(user)) != user}
    for user in sorted(back):
        store.conversations.erase_user(user)
    store.erasures.adopt(since)
    finish(store, places, timedelta(0))
    return len(back)


def _sweep(who: Pending, places: Sequence[Place]) -> tuple[dict[str, int], list[str]]:
    counts, problems = {}, []
    for place in places:
        try:
            counts[place.name] = place.erase(who)
        except Exception as error:  # noqa: BLE001 -- whatever one place cannot do, the others are swept
            # the type alone: a message may repeat what is being erased
            problems.append(f"{type(error).__name__} in {place.name}")
    return counts, problems


def _untrained(store: Store) -> int | None:
    version = store.versions.unfinished()
    return version.n if version and version.state == "open" else None
