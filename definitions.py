"""Root of the graph: settings become resources, resources meet assets and sensors."""

import os
import sys
from functools import lru_cache

import dagster as dg

from assets.adapters import lora_adapter
from assets.conversations import raw_conversations
from assets.datasets import validated_dataset
from assets.jobs import retrain
from assets.models import registered_model
from assets.reports import evaluation_report
from resources import base_model
from resources.chat_tokenizer import ChatTokenizer, chat_tokenizer
from resources.lease_watch import LeaseWatch
from resources.mlflow_store import shown
from resources.registry import MlflowRegistry
from resources.settings import ROOT, Settings, read_settings
from resources.store import Store, open_store
from resources.tracking import MlflowTracking, experiment_of
from resources.trainer import TrainerProcess
from sensors.reaper import end_runs_without_a_process
from sensors.retrain import retrain_at_batch_threshold

SETTINGS = read_settings()


@lru_cache
def opened_store() -> Store:
    """One store a process: a sensor ticks every few seconds."""
    base = base_model.resolve(SETTINGS.base_model, SETTINGS.models_dir)
    lineage = base_model.fingerprint(base)
    return open_store(
        SETTINGS.database_url,
        live_defaults=SETTINGS.live(),
        lineage=lineage,
        max_attempts=SETTINGS.finetune_max_attempts,
    )


@dg.resource
def store() -> Store:
    return opened_store()


@dg.resource
def tokenizer() -> ChatTokenizer:
    return chat_tokenizer(base_model.resolve(SETTINGS.base_model, SETTINGS.models_dir))


@dg.resource
def trainer() -> TrainerProcess:
    return TrainerProcess(
        [sys.executable, str(ROOT / "train.py")],
        log_dir=SETTINGS.state_dir / "logs",
        latest=opened_store().progress.latest,
        environment={**os.environ, **SETTINGS.environment()},
        silence_seconds=SETTINGS.trainer_silence_seconds,
    )


def mlflow_resources(settings: Settings) -> dict[str, MlflowTracking | MlflowRegistry]:
    """Both sides of MLflow on the same experiment."""
    uri, name = settings.mlflow_tracking_uri, settings.mlflow_model_name
    experiment = experiment_of(settings)
    pages = shown(uri) if uri.startswith("http") else f"http://127.0.0.1:{settings.mlflow_port}"
    return {
        "tracking": MlflowTracking(uri, experiment, name, pages),
        "registry": MlflowRegistry(uri, name, experiment),
    }


RESOURCES = {
    "settings": SETTINGS,
    "store": store,
    "tokenizer": tokenizer,
    "trainer": trainer,
    "lease_watch": LeaseWatch(SETTINGS.lease_seconds),
    **mlflow_resources(SETTINGS),
}


def build(**others: object) -> dg.Definitions:
    """The graph with these resources, others in their place where given."""
    return dg.Definitions(
        assets=[raw_conversations, validated_dataset, lora_adapter, evaluation_report, registered_model],
        jobs=[retrain],
        sensors=[retrain_at_batch_threshold, end_runs_without_a_process],
        resources={**RESOURCES, **others},
        executor=dg.in_process_executor,
    )


defs = build()
