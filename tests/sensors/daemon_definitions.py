"""The real graph, sensors and store, with doubles of what is heavy; a training lasts until the file `go` is there."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from definitions import SETTINGS, build, opened_store
from resources.folders import write_whole
from resources.progress import Progress
from resources.store import Store
from resources.trainer import Stage
from resources.versions import Claim
from tests.fakes import FakeRegistry, FakeTracking, FakeTrainer


class WaitingTrainer(FakeTrainer):
    """Leaves its process number in a file named after the version, and waits for the test."""

    def __init__(self, store: Store, state_dir: Path) -> None:
        super().__init__(store, state_dir)

    def run(self, stage: Stage, claim: Claim, on_progress: Callable[[Progress], None] = lambda progress: None) -> None:
        if stage == "train":
            write_whole(self.state_dir / f"training-v{claim.n}", str(os.getpid()))
            while not (self.state_dir / "go").exists():
                time.sleep(0.05)
        super().run(stage, claim, on_progress)


defs = build(
    trainer=WaitingTrainer(opened_store(), SETTINGS.state_dir), tracking=FakeTracking(), registry=FakeRegistry()
)
