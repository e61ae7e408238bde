"""The one writer of registry aliases: they follow the champion row, and a move from outside is a request."""

from pathlib import Path

from resources import adapters, trained
from resources.champions import Champion
from resources.registry import FOREIGN, Registry
from resources.registry_names import tell_names
from resources.store import NotAllowed, NotFound, Store
from resources.versions import Version

PRODUCTION = "production"
PREVIOUS = "previous"
STAGING = "staging"


def reconcile(
    store: Store,
    registry: Registry,
    *,
    production: str = PRODUCTION,
    adapters_dir: Path | None = None,
    once_served: bool = False,
) -> list[str]:
    """Bring the aliases in line with the store; what was done, in sentences (empty: nothing, or the registry is away).

    With `adapters_dir`, versions that were concluded while the registry was away are registered from there first,
    and no version becomes champion whose files are not whole. With `once_served`, no alias moves to a champion that
    the engine has not taken over.
    """
    if not registry.available():
        return []
    champion = store.champion.get()
    if once_served and champion.n != champion.served and registry.alias(production) == champion.alias_confirmed:
        return []
    done = _register_late(store, registry, adapters_dir) if adapters_dir else []
    done += _follow(store, registry, production, adapters_dir)
    champion = store.champion.get()
    done += _point(registry, PREVIOUS, champion.previous)
    done += _point(registry, STAGING, candidate(store, champion))
    return done + tell_names(store, registry)


def _follow(store: Store, registry: Registry, production: str, adapters_dir: Path | None) -> list[str]:
    champion = store.champion.get()
    observed = registry.alias(production)
    if observed == champion.n:
        if champion.alias_confirmed != champion.n:
            store.champion.confirm_alias(champion.n)
        return []
    if observed in (champion.alias_confirmed, champion.alias_intended):
        return _write(store, registry, production, champion.n)
    return _moved_from_outside(store, registry, production, champion, observed, adapters_dir)


def _moved_from_outside(
    store: Store,
    registry: Registry,
    production: str,
    champion: Champion,
    observed: int | None,
    adapters_dir: Path | None,
) -> list[str]:
    if observed is None:
        return _put_back(
            store, registry, production, champion, observed, "to serve the base, roll back through the API"
        )
    if _older_than_store(registry, champion):
        return _caught_up(store, registry, production, champion, adapters_dir)
    if _passed(store, observed):
        why = _unfit(adapters_dir, observed, store.lineage) if adapters_dir else None
        if why:
            return _put_back(store, registry, production, champion, observed, why)
        try:
            store.champion.move(observed, f"alias {production} was moved to {_name(observed)} in the registry", "alias")
        except NotAllowed as refusal:
            return _put_back(store, registry, production, champion, observed, str(refusal))
        store.champion.confirm_alias(observed)
        return [f"{_name(observed)} is champion: alias {production} was moved in the registry"]
    why = "is no version of ours" if observed == FOREIGN else "did not pass the gate"
    return _put_back(store, registry, production, champion, observed, f"{_name(observed)} {why}")


def _older_than_store(registry: Registry, champion: Champion) -> bool:
    """A registry restored from an old copy still names an earlier champion: that is nobody's wish."""
    return champion.n is not None and registry.registered(champion.n) is None


def _caught_up(
    store: Store, registry: Registry, production: str, champion: Champion, adapters_dir: Path | None
) -> list[str]:
    """Register what the old copy does not know of; until then its aliases can neither be set nor be believed."""
    missing = [n for n in (champion.n, champion.previous) if n is not None and registry.registered(n) is None]
    done = [_register(store, registry, adapters_dir, n) for n in missing if adapters_dir and _kept(adapters_dir, n)]
    return done + _write(store, registry, production, champion.n)


def _put_back(
    store: Store, registry: Registry, production: str, champion: Champion, observed: int | None, why: str
) -> list[str]:
    done = _write(store, registry, production, champion.n)
    if not done:
        return []
    moved = "removed" if observed is None else f"moved to {_name(observed)}"
    message = f"alias {production} was {moved} in the registry and put back: {why}"
    store.events.add("alias_put_back", message, version=observed or None, data={"champion": champion.n})
    return [message]


def _write(store: Store, registry: Registry, production: str, n: int | None) -> list[str]:
    """Nothing is written while version n is not registered yet."""
    if n is not None and registry.registered(n) is None:
        return []
    store.champion.intend_alias(n)
    registry.set_alias(production, n)
    store.champion.confirm_alias(n)
    return [f"alias {production} → {_name(n)}"]


def _point(registry: Registry, alias: str, n: int | None) -> list[str]:
    wanted = n if n is not None and registry.registered(n) is not None else None
    if registry.alias(alias) == wanted:
        return []
    registry.set_alias(alias, wanted)
    return [f"alias {alias} → {_name(wanted)}" if wanted is not None else f"alias {alias} removed"]


def production_alias(stage: str) -> str:
    """The alias of the champion; two names are taken."""
    return PRODUCTION if stage.lower() in (STAGING, PREVIOUS) else stage.lower()


def stage_of(store: Store, stage: str) -> int | None:
    """The version behind a stage, as the store has it; None: none, or the base."""
    champion = store.champion.get()
    return {PREVIOUS: champion.previous, STAGING: candidate(store, champion)}.get(stage.lower(), champion.n)


def candidate(store: Store, champion: Champion) -> int | None:
    """The newest version that is registered and may still become champion, which no whole model may."""
    version = next(iter(store.versions.history(limit=1)), None)
    if version is None or version.n == champion.n or version.n < (champion.n or 0) or version.archived_at is not None:
        return None
    if version.method == "full":
        return None
    awaits = version.state == "trained" and (version.verdict is None or version.verdict.promoted)
    return version.n if awaits or version.n == store.experiments.staged() else None


def _passed(store: Store, n: int) -> bool:
    try:
        return store.versions.get(n).state == "promoted"
    except NotFound:
        return False


def _kept(adapters_dir: Path, n: int) -> bool:
    """Old versions are pruned; without its manifest a folder does not exist."""
    return (adapters_dir / f"v{n}" / "manifest.json").is_file()


def _unfit(adapters_dir: Path, n: int, lineage: str) -> str | None:
    """Why the engine would refuse it; its files are read whole, which an alias that somebody moved is worth."""
    if not _kept(adapters_dir, n):
        return f"the files of {_name(n)} are no longer kept"
    try:
        adapters.verify(adapters_dir / f"v{n}", lineage)
    except ValueError as refusal:
        return f"the files of {_name(n)} are refused: {refusal}"
    return None


def _register_late(store: Store, registry: Registry, adapters_dir: Path) -> list[str]:
    late = [
        version.n
        for version in store.versions.history(limit=5)
        if version.state in ("promoted", "rejected")
        and version.mlflow_version is None
        and _kept(_folder(adapters_dir, version).parent, version.n)
    ]
    return [_register(store, registry, adapters_dir, n) for n in late]


def _register(store: Store, registry: Registry, adapters_dir: Path, n: int) -> str:
    """Register from the folder that is kept, with the run and the report where they are there."""
    version = store.versions.get(n)
    page = Path(version.report_path) if version.report_path else None
    report = page if page and page.is_file() else None
    number = registry.register(n, _folder(adapters_dir, version), version.mlflow_run_id, registry_tags(version), report)
    store.versions.set_registered(n, number)
    return f"v{n} registered late"


def _folder(adapters_dir: Path, version: Version) -> Path:
    """A whole model lies beside the folder of adapters, never in it."""
    if version.method == "full":
        return trained.folder_of(adapters_dir.parent, version.n, version.method)
    return adapters_dir / f"v{version.n}"


def registry_tags(version: Version) -> dict[str, str]:
    """What the registry says of a version."""
    verdict = "none" if version.verdict is None else "promoted" if version.verdict.promoted else "rejected"
    return {
        "whetstone.version": str(version.n),
        "verdict": verdict,
        "dataset_hash": version.dataset_hash or "",
        "base_fingerprint": version.base_fingerprint,
        "adapter_sha256": version.adapter_sha256 or "",
        "method": version.method,
    }


def _name(n: int | None) -> str:
    return "the base" if n is None else "something unknown" if n == FOREIGN else f"v{n}"
