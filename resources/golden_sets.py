"""Sets to measure with that people uploaded as golden: part of the gate, and never trained on."""

import logging
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from core.conversation import Conversation
from resources.records import FileRefused
from resources.store import Store
from resources.upload_files import UploadFiles
from resources.upload_reading import Sample, Source, TaskRefused, format_in, samples
from resources.uploads import Upload

log = logging.getLogger(__name__)

# of one set; what is beyond is neither measured nor kept out of training
MOST = 2_000
PAGE = 100


def golden_conversations(store: Store, root: Path, only: int | None = None) -> list[Conversation] | None:
    """All of them in order of upload, or of the set `only`; None where there is no golden set.

    A set whose file does not read gives nothing, so that the gate has nothing to say for it and fails.
    """
    sets = list(_sets(store)) if only is None else [store.uploads.get(only)]
    if not sets:
        return None
    files = UploadFiles(root)
    return [conversation for upload in sets for conversation in _read(upload, files)]


def _sets(store: Store) -> Iterator[Upload]:
    found: list[Upload] = []
    page = 1
    while True:
        part = store.uploads.page(page, PAGE, kind="golden")
        found += part.items
        if len(found) >= part.total or not part.items:
            return iter(sorted(found, key=lambda upload: upload.id))
        page += 1


def _read(upload: Upload, files: UploadFiles) -> list[Conversation]:
    source = Source.of(
        {
            "id": upload.id,
            "path": files.data(upload.id, upload.extension),
            "extension": upload.extension,
            "format": upload.format,
            "mapping": upload.mapping,
            "created_at": upload.created_at.isoformat(),
        }
    )
    try:
        every = samples(source, format_in(source))
        rows = (conversation for one in every if isinstance(one, Sample) for conversation in one.conversations)
        return list(islice(rows, MOST))
    except (FileRefused, TaskRefused, OSError) as refused:
        # the message of a file can hold words of it
        log.warning("The golden set %d does not read (%s)", upload.id, type(refused).__name__)
        return []
