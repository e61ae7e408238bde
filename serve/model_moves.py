"""What a person may ask of a model's status; the champion's row and its rules do the rest."""

from collections.abc import Collection
from typing import Any

from resources.champions import Champion, model_name
from resources.models import Model
from resources.store import NotAllowed, Store
from serve.model_schema import PromoteBody
from serve.model_shapes import Shelf, moved_row

BY = "the admin API"


def promote(store: Store, n: int, body: PromoteBody, on_disk: Collection[str], shelf: Shelf) -> dict[str, Any]:
    """staging to production, or with force what the gate rejected; NotAllowed says what else to do."""
    model, before = _ours(store, n), store.champion.get()
    if model.status == "production":
        return moved_row(model, model, before, f"v{n} answers already", shelf)
    if model.state == "trained":
        raise NotAllowed(f"Expected v{n} to have its verdict, found it waiting for it: promote it once it is judged")
    if model.state == "rejected" and not body.force:
        reasons = "; ".join(verdict.reasons) if (verdict := store.versions.get(n).verdict) else "no verdict"
        raise NotAllowed(
            f"Expected a version that passed its gate, found v{n} rejected ({reasons}): "
            "send force with a reason to promote it all the same"
        )
    if model.state == "promoted" and model.status == "archived":
        raise NotAllowed(f"Expected a version at staging, found v{n} archived: {_rollback(n)}")
    now = store.champion.promote(n, body.reason, by=BY, force=body.force, on_disk=on_disk)
    return _moved(store, model, before, now, shelf)


def roll_back(store: Store, n: int, reason: str | None, on_disk: Collection[str], shelf: Shelf) -> dict[str, Any]:
    """archived to production; again it says so, and where the way back is."""
    model, before = _ours(store, n), store.champion.get()
    if model.status == "production":
        message = f"v{n} answers already; {model_name(before.previous)} before it: {_rollback(before.previous)}"
        return moved_row(model, model, before, message, shelf)
    if model.status == "staging":
        raise NotAllowed(f"Expected an archived version, found v{n} at staging: promote it")
    now = store.champion.roll_back(reason, by=BY, to=n, on_disk=on_disk)
    return _moved(store, model, before, now, shelf)


def roll_back_to_base(store: Store, reason: str | None) -> dict[str, Any]:
    """The base answers, whoever did."""
    before = store.champion.get()
    now = store.champion.roll_back(reason, by=BY, to=None)
    moved = before.n is not None and now.n is None
    message = f"the base answers instead of {model_name(before.n)}" if moved else "the base answers already"
    return {"model_id": None, "previous_model_id": before.n, "message": message}


def archive(store: Store, n: int, reason: str | None, shelf: Shelf) -> dict[str, Any]:
    """staging to archived; what is archived already stays so."""
    model, champion = store.models.get(n), store.champion.get()
    if model.state == "trained":
        raise NotAllowed(f"Expected v{n} to have its verdict, found it waiting for it: archive it once it is judged")
    if model.status == "archived":
        return moved_row(model, model, champion, f"v{n} is archived already", shelf)
    store.champion.archive(n, reason, by=BY)
    return moved_row(model, store.models.get(n), champion, f"v{n} is archived and waits no longer", shelf)


def _ours(store: Store, n: int) -> Model:
    model = store.models.get(n)
    if model.base_fingerprint != store.lineage:
        found = f"found v{n} of another base: it answers where BASE_MODEL is its own"
        raise NotAllowed(f"Expected a version of the base that is served, {found}")
    return model


def _moved(store: Store, model: Model, before: Champion, now: Champion, shelf: Shelf) -> dict[str, Any]:
    message = f"{model_name(model.n)} answers instead of {model_name(before.n)}"
    if running := store.experiments.running():
        message += f"; the experiment {running.design.name} goes on sharing out what it covers"
    return moved_row(model, store.models.get(model.n), now, message, shelf)


def _rollback(n: int | None) -> str:
    return f"POST /api/v1/admin/models/{n or 'base'}/rollback"
