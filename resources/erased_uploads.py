"""Uploaded datasets forget a person: their file is written again without those rows, what was made of it is removed."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from core.formats import Columns
from resources.erasure_rows import Pending
from resources.folders import sync
from resources.readers import read_stored
from resources.records import REWRITTEN, Record
from resources.store_errors import NotAllowed, NotFound
from resources.upload_reading import ERASED
from resources.uploads import Upload, Uploads

_STAGING = "rewritten.tmp-erasing"
_PAGE = 200


class UploadedFiles:
    """A place of `resources.erased_places`; whatever a file was, it is JSON lines afterwards."""

    name = "uploads"

    def __init__(self, folder: Path, uploads: Uploads) -> None:
        self._folder, self._uploads = folder, uploads

    def erase(self, who: Pending) -> int:
        return sum(self._rewrite(upload, who.user_id) for upload in self._alive())

    def users(self) -> set[str]:
        found = (_user_of(upload, value) for upload in self._alive() for value in self._values(upload))
        return {user for user in found if user is not None}

    def _alive(self) -> Iterator[Upload]:
        page = 1
        while (found := self._uploads.page(page, _PAGE)).items:
            yield from found.items
            page += 1

    def _data(self, upload: Upload) -> Path:
        return self._folder / str(upload.id) / f"data.{upload.extension}"

    def _values(self, upload: Upload) -> Iterator[Mapping[str, Any]]:
        """What can be read of the file by anyone; what is no record is an empty one.

        FileRefused for a file that cannot be read to its end: nobody may be told that they are not in it.
        """
        data = self._data(upload)
        try:
            for found in read_stored(data, upload.extension, keep_good=True):
                yield found.value if isinstance(found, Record) else {}
        except FileNotFoundError:
            return

    def _rewrite(self, upload: Upload, user_id: str) -> int:
        _tidy(self._data(upload))
        theirs = sum(_user_of(upload, value) == user_id for value in self._values(upload))
        if not theirs:
            return 0
        folder = self._data(upload).parent
        for made in folder.iterdir():  # from the same rows, which bear no name there
            if not made.name.startswith("data."):
                _remove(made)
        kept = self._write(upload, user_id, folder / _STAGING)
        try:
            self._replace(upload, folder, kept)
        except (NotAllowed, NotFound):
            shutil.rmtree(folder, ignore_errors=True)  # deleted meanwhile
        return theirs

    def _write(self, upload: Upload, user_id: str, staging: Path) -> int:
        """Each row keeps its number: the ids of what was ingested from it are made of that; how many there are."""
        kept = 0
        with os.fdopen(os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            for value in self._values(upload):
                left = ERASED if _user_of(upload, value) == user_id else value
                file.write(json.dumps(left, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
                kept += left not in (ERASED, {})
            file.flush()
            os.fsync(file.fileno())
        return kept

    def _replace(self, upload: Upload, folder: Path, kept: int) -> None:
        """Row and file change together as far as two things can: until both did, the next sweep begins anew."""
        if not kept:
            self._uploads.delete(upload.id)
            shutil.rmtree(folder)
            return
        data = folder / f"data.{REWRITTEN}"
        (folder / _STAGING).rename(data)
        sync(folder)
        with data.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        status = {"status": "uploaded", "quality_score": None, "stats": {**upload.stats, "total_samples": kept}}
        same = {"extension": REWRITTEN, "size_bytes": data.stat().st_size, "sha256": digest}
        self._uploads.change(upload.id, {**status, **same})
        _tidy(data)


def _user_of(upload: Upload, record: Mapping[str, Any]) -> str | None:
    value: Any = record.get(Columns.model_validate(upload.mapping).user_id)
    return str(value) if isinstance(value, str | int) else None


def _tidy(data: Path) -> None:
    """Away with a former file under another extension, and with what a kill left."""
    for path in data.parent.glob("*"):
        if path.name == _STAGING or (path.name.startswith("data.") and path.name != data.name and data.exists()):
            _remove(path)


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
