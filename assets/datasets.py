"""validated_dataset: what passes the rules, on two sides that never mix."""

import dagster as dg

from assets.checks import DATASET_CHECKS, dataset_checks
from assets.conversations import raw_conversations
from assets.step import POOL, folder, step
from core.rules import RULES_VERSION
from resources.recognisers import name_and_version, recogniser
from resources.report import table
from resources.screening import REJECTED, Screener, make_dataset, rejections
from resources.settings import Settings
from resources.store import Store
from resources.token_counts import BatchTokenizer


@dg.asset(
    deps=[raw_conversations],
    pool=POOL,
    group_name="loop",
    kinds={"parquet"},
    code_version=RULES_VERSION,
    check_specs=DATASET_CHECKS,
)
def validated_dataset(
    context: dg.AssetExecutionContext,
    store: dg.ResourceParam[Store],
    settings: dg.ResourceParam[Settings],
    tokenizer: dg.ResourceParam[BatchTokenizer],
) -> dg.MaterializeResult:
    """All accepted conversations so far, for training and held out, as an immutable folder."""
    with step(context, store, settings) as claim:
        target = folder(settings, "datasets", claim.n)
        screener = Screener(
            tokenizer,
            settings.finetune_max_length,
            settings.caps(),
            recognise=recogniser(settings.data_recogniser),
            recogniser=name_and_version(settings.data_recogniser),
            near=settings.data_near_duplicate_threshold,
        )
        manifest = make_dataset(store, claim, target, screener)
        checks = dataset_checks(target, settings.gate_min_held_out)
    reasons = rejections(manifest)
    shown = table(["rejected because", "conversations"], list(reasons.items())) if reasons else "none was rejected"
    return dg.MaterializeResult(
        data_version=dg.DataVersion(str(manifest.dataset_hash)),
        metadata={
            "version": claim.n,
            **{name: n for name, n in manifest.counts.items() if not name.startswith(REJECTED)},
            "rejection_reasons": dg.MetadataValue.md(shown),
            "dataset_hash": manifest.dataset_hash,
            "rules_version": manifest.details["rules_version"],
            "folder": dg.MetadataValue.path(str(target)),
        },
        check_results=checks,
    )
