"""registered_model: the version in the registry, and its end in the store."""

import dagster as dg

from assets.adapters import training_params
from assets.mlflow_run import attempt, mlflow_run
from assets.reports import evaluation_report
from assets.step import POOL, folder, step
from resources import adapters, trained
from resources.aliases import registry_tags
from resources.registry import Registry
from resources.report import PAGE, listed, read_evaluation
from resources.settings import Settings
from resources.store import Store
from resources.tracking import Tracking


@dg.asset(deps=[evaluation_report], pool=POOL, group_name="loop", kinds={"mlflow"})
def registered_model(
    context: dg.AssetExecutionContext,
    store: dg.ResourceParam[Store],
    settings: dg.ResourceParam[Settings],
    tracking: dg.ResourceParam[Tracking],
    registry: dg.ResourceParam[Registry],
) -> dg.MaterializeResult:
    """The registered version; a promoted one is champion from here on, and the engine follows by itself."""
    with step(context, store, settings) as claim, mlflow_run(context, store, settings, tracking, claim) as run_id:
        version = store.versions.get(claim.n)
        target = trained.folder_of(settings.state_dir, claim.n, version.method)
        manifest = trained.verify(target, version.base_fingerprint, version.method)
        page = folder(settings, "reports", claim.n) / PAGE
        if version.verdict is None:
            raise ValueError(f"Expected a verdict of v{claim.n}, found none: materialise evaluation_report first")
        if run_id:
            curve = store.progress.curve(claim.n)
            attempt(context, lambda: tracking.log_training(run_id, training_params(manifest), curve))
        number = attempt(context, lambda: registry.register(claim.n, target, run_id, registry_tags(version), page))
        if version.verdict.promoted:
            back_up_champion(store, settings, claim.n)
        # a champion that was moved since is another question: the next attempt evaluates anew
        done = store.versions.conclude(claim, number, compared_with=read_evaluation(page.parent).champion)
        if run_id:
            attempt(context, lambda: tracking.end(run_id, "FINISHED"))
        links = pages(context, tracking, run_id, number)
    verdict = version.verdict
    return dg.MaterializeResult(
        data_version=dg.DataVersion(trained.sha256_of(manifest)),
        metadata={
            "version": claim.n,
            "state": done.state,
            "verdict": "promoted" if verdict.promoted else "rejected",
            "reasons": dg.MetadataValue.md(listed(verdict.reasons)),
            "champion": f"v{champion}" if (champion := store.champion.get().n) else "base",
            **links,
            "registry_version": number or "MLflow was away; registered when it is back",
        },
    )


def back_up_champion(store: Store, settings: Settings, successor: int) -> None:
    """Copy the champion before `successor` takes its place, where whoever asked for the run asked for that too."""
    champion = store.champion.get().n
    asked = any(trigger.params.get("backup_existing") for trigger in store.triggers.of_version(successor))
    if champion is None or not asked:
        return
    base = store.versions.get(champion).base_fingerprint
    adapters.back_up(folder(settings, "adapters", champion), folder(settings, "backups", champion), base)
    data = {"backup": f"backups/v{champion}", "successor": successor}
    message = f"v{champion} was copied to backups/v{champion} before v{successor} takes its place"
    store.events.add("champion_backed_up", message, champion, data)


def pages(
    context: dg.AssetExecutionContext, tracking: Tracking, run_id: str | None, number: str | None
) -> dict[str, dg.MetadataValue]:
    """Addresses of the version's pages in MLflow."""
    run_page = attempt(context, lambda: tracking.run_url(run_id)) if run_id else None
    found = {"mlflow_run": run_page, "mlflow_model": tracking.model_url(number) if number else None}
    return {name: dg.MetadataValue.url(address) for name, address in found.items() if address}
