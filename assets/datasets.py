"""validated_dataset: what passes the rules, on three sides that never mix."""

from collections.abc import Mapping

import dagster as dg

from assets.checks import DATASET_CHECKS, dataset_checks, description_checks
from assets.conversations import raw_conversations
from assets.step import POOL, folder, step
from core.rules import RULES_VERSION
from core.wish import wish_in
from resources.dataset_description import Description, describe
from resources.dataset_page import PICTURES
from resources.golden_sets import golden_conversations
from resources.recognisers import name_and_version, recogniser
from resources.report import picture, table
from resources.screening import Screener, make_dataset, masked, rejections
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
    """All accepted conversations so far, masked, to train on, to validate with and held out, as an immutable folder."""
    with step(context, store, settings) as claim:
        target = folder(settings, "datasets", claim.n)
        screener = Screener(
            tokenizer,
            wish_in(store.versions.get(claim.n).settings).recipe.get("max_length", settings.finetune_max_length),
            settings.caps(),
            recognise=recogniser(settings.data_recogniser),
            recogniser=name_and_version(settings.data_recogniser),
            near=settings.data_near_duplicate_threshold,
            golden=golden_conversations(store, settings.state_dir / "uploads") or (),
        )
        manifest = make_dataset(store, claim, target, screener)
        reasons = rejections(manifest)
        reports = folder(settings, "reports", claim.n)
        described = describe(target, manifest, reasons, reports, screener.max_tokens)
        checks = [*dataset_checks(target, settings.gate_min_held_out), *description_checks(described)]
    return dg.MaterializeResult(
        data_version=dg.DataVersion(str(manifest.dataset_hash)),
        metadata={
            "version": claim.n,
            **{name: n for name, n in manifest.counts.items() if "." not in name},
            "rejection_reasons": dg.MetadataValue.md(counted("rejected because", reasons) or "none was rejected"),
            "masked": dg.MetadataValue.md(counted("masked", masked(manifest)) or "nothing had to be masked"),
            "statistics": dg.MetadataValue.md(numbers(described)),
            **{name: dg.MetadataValue.md(shown) for name, shown in pictures(described).items()},
            "page": dg.MetadataValue.path(str(described.page)),
            "dataset_hash": manifest.dataset_hash,
            "rules_version": manifest.details["rules_version"],
            "folder": dg.MetadataValue.path(str(target)),
        },
        check_results=checks,
    )


def counted(heading: str, counts: Mapping[str, int]) -> str:
    """A table of counts; nothing where there is none."""
    return table([heading, "conversations"], list(counts.items())) if counts else ""


def numbers(described: Description) -> str:
    """Spread of each number of the dataset."""
    spreads = described.statistics["numbers"]
    names = list(next(iter(spreads.values())))
    return table(["", *names], [[name, *(spread.get(at, "") for at in names)] for name, spread in spreads.items()])


def pictures(described: Description) -> dict[str, str]:
    """The pictures of the page, each by its name."""
    beside = described.page.parent
    return {name.removesuffix(".png"): picture(beside / name, title) for name, title in PICTURES.items()}
