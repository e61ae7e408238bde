"""The job that makes one version out of everything that waits."""

import dagster as dg

from assets.step import ORDER

RETRAIN = "retrain"

retrain = dg.define_asset_job(
    RETRAIN,
    selection=dg.AssetSelection.assets(*ORDER),
    description="Claim what waits, screen it, train, judge, register",
    # the sensor alone tries again: a retry by Dagster would run beside the sensor's
    tags={"dagster/max_retries": "0"},
    executor_def=dg.in_process_executor,
)
