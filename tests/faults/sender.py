"""`python -m tests.faults.sender FILE`: a process that captures the conversations of a file, and says when it has."""

import json
import sys
from pathlib import Path

from core.conversation import Conversation
from resources.capture import CaptureWriter
from resources.settings import read_settings
from resources.store import open_store


def main(path: Path) -> None:
    """Through the server's own writer: what it acknowledges is on disk."""
    settings = read_settings()
    store = open_store(settings.database_url, live_defaults=settings.live())
    writer = CaptureWriter(store)
    waiting = [writer.submit(Conversation.model_validate(item)) for item in json.loads(path.read_text("utf-8"))]
    for answer in waiting:
        answer.result(60)
    writer.close()
    store.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
