"""evaluation_report: the candidate beside base and champion, and what the gate says of it."""

from typing import Any

import dagster as dg

from assets.adapters import lora_adapter
from assets.checks import REPORT_CHECKS, verdict_checks
from assets.mlflow_run import attempt, mlflow_run
from assets.step import POOL, folder, step
from core.gate import Evaluation, Verdict, judge
from resources import report, report_page, stories
from resources.settings import Settings
from resources.store import Store
from resources.tracking import Tracking
from resources.trainer import Trainer


@dg.asset(deps=[lora_adapter], pool=POOL, group_name="loop", kinds={"markdown", "mlflow"}, check_specs=REPORT_CHECKS)
def evaluation_report(
    context: dg.AssetExecutionContext,
    store: dg.ResourceParam[Store],
    settings: dg.ResourceParam[Settings],
    trainer: dg.ResourceParam[Trainer],
    tracking: dg.ResourceParam[Tracking],
) -> dg.MaterializeResult:
    """All that was measured, the gate's verdict with its reasons, and a page with pictures."""
    with step(context, store, settings) as claim, mlflow_run(context, store, settings, tracking, claim) as run_id:
        target = folder(settings, "reports", claim.n)
        trainer.run("evaluate", claim)
        evaluation = report.read_evaluation(target)
        verdict = judge(evaluation, settings.gate_thresholds())
        stories.keep_manifest(settings.state_dir, claim.n)
        story = stories.story_of(store, settings.state_dir, claim.n, evaluation, verdict)
        page = report.write(target, story)
        whole = report_page.write_page(target, story)
        store.versions.set_verdict(claim, verdict, str(page))
        if run_id:
            attempt(context, lambda: tracking.log_folder(run_id, target, "report"))
            attempt(context, lambda: tracking.log_figures(run_id, figures(evaluation, verdict), said(verdict)))
        kept = attempt(context, lambda: tracking.artifact_url(run_id, f"report/{whole.name}")) if run_id else None
        in_mlflow = {"report_in_mlflow": dg.MetadataValue.url(kept)} if kept else {}
    return dg.MaterializeResult(
        metadata={
            "version": claim.n,
            "verdict": "promoted" if verdict.promoted else "rejected",
            "reasons": dg.MetadataValue.md(report.listed(verdict.reasons)),
            "report": dg.MetadataValue.md(report.with_pictures(page)),
            "report_page": dg.MetadataValue.url(f"{settings.address}/api/v1/admin/models/{claim.n}/report"),
            "report_file": dg.MetadataValue.path(str(whole)),
            **in_mlflow,
            **losses(evaluation),
            "folder": dg.MetadataValue.path(str(target)),
        },
        check_results=verdict_checks(verdict),
    )


def losses(evaluation: Evaluation) -> dict[str, float]:
    """Mean loss of each model on each set: plotted over versions on the asset's page."""
    return {
        f"{where}_loss_{model}": round(mean, 4)
        for where, pairs in (("held_out", evaluation.held_out), ("general", evaluation.general))
        for model, mean in report.mean_losses(pairs).items()
    }


def figures(evaluation: Evaluation, verdict: Verdict) -> dict[str, float]:
    """What MLflow keeps: the mean losses, and what each check found."""
    found: dict[str, Any] = {
        f"{check.name}.{field}": getattr(check, field)
        for check in verdict.checks
        for field in ("estimate", "lower", "upper", "p_value", "power")
    }
    return losses(evaluation) | {name: float(value) for name, value in found.items() if value is not None}


def said(verdict: Verdict) -> dict[str, str]:
    """The verdict as MLflow tags."""
    return {"verdict": "promoted" if verdict.promoted else "rejected", "reasons": "; ".join(verdict.reasons)[:5000]}
