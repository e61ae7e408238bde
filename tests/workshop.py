"""A whole loop without heavy parts: a real store, doubles of trainer, MLflow and tokenizer, Dagster in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from assets.adapters import lora_adapter
from assets.conversations import raw_conversations
from assets.datasets import validated_dataset
from assets.models import registered_model
from assets.reports import evaluation_report
from core.conversation import Conversation, Message
from resources.settings import Settings
from resources.store import Store
from tests.fakes import FakeRegistry, FakeTokenizer, FakeTracking, FakeTrainer

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
GRAPH = [raw_conversations, validated_dataset, lora_adapter, evaluation_report, registered_model]


def conversation(number: int, *, user: str | None = None, reply: str | None = None) -> Conversation:
    """Distinct by its number; each of a user of its own unless one is given."""
    return Conversation(
        id=f"c{number:04d}",
        messages=(Message(role="user", content=f"question {number}"),),
        reply=f"answer {number}" if reply is None else reply,
        user_id=user or f"u{number}",
        source="import",
        provenance="human",
        created_at=NOON + timedelta(seconds=number),
    )


@dataclass
class Workshop:
    """What a run of the graph needs, and short ways to start one."""

    store: Store
    settings: Settings
    trainer: FakeTrainer
    tracking: FakeTracking = field(default_factory=FakeTracking)
    registry: FakeRegistry = field(default_factory=FakeRegistry)
    instance: dg.DagsterInstance = field(default_factory=dg.DagsterInstance.ephemeral)

    def capture(self, first: int, last: int, **fields: Any) -> None:
        self.store.conversations.capture([conversation(number, **fields) for number in range(first, last)])

    def run(
        self, assets: Sequence[dg.AssetsDefinition] = GRAPH, *, tags: dict[str, str] | None = None
    ) -> dg.ExecuteInProcessResult:
        """Materialise these assets in one run, as Dagster's pages would."""
        resources = {
            "store": self.store,
            "settings": self.settings,
            "trainer": self.trainer,
            "tracking": self.tracking,
            "registry": self.registry,
            "tokenizer": FakeTokenizer(),
        }
        return dg.materialize(
            GRAPH,
            selection=dg.AssetSelection.assets(*assets),
            instance=self.instance,
            resources=resources,
            tags=tags,
            raise_on_error=False,
        )

    def failure(self, result: dg.ExecuteInProcessResult) -> str:
        """What the run's page says of the step that failed."""
        events = [event for event in result.all_events if event.is_step_failure]
        assert len(events) == 1, f"expected one failed step, found {len(events)}"
        data = events[0].step_failure_data
        return str(data.user_failure_data.description if data.user_failure_data else data.error)


def workshop(store: Store, state_dir: Path, **settings: Any) -> Workshop:
    """A workshop over this store; a lease is dead after two seconds."""
    chosen = Settings(state_dir=state_dir, lease_seconds=2, _env_file=None, **settings)
    return Workshop(store, chosen, FakeTrainer(store, state_dir))
