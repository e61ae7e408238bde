"""Finished folders: written aside, synced, manifest last, renamed into place; what is not whole does not exist."""

import ctypes
import hashlib
import os
import shutil
import stat
from pathlib import Path

from pydantic import ValidationError

from core.manifest import MANIFEST_NAME, Manifest

_CHUNK = 1 << 20
_AT_CWD, _EXCHANGE = -100, 2  # of Linux's renameat2
_MANIFEST_LIMIT = 1 << 20
_MADE_OF = ("kind", "version", "base_fingerprint", "dataset_hash", "parent")


class FolderRefused(ValueError):
    """A folder that is not what its manifest says; the message names expected, found and where."""


def hashes(folder: Path) -> dict[str, str]:
    """File name → SHA-256 of everything in `folder` but its manifest."""
    return {path.name: sha256_of(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST_NAME}


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hex, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def publish(staging: Path, final: Path, manifest: Manifest) -> None:
    """Turn `staging` into `final`, whole or not at all; a `final` already whole and made of the same is kept.

    Another is put out of its name in the moment in which `staging` gets it. A writer that slept in between would so
    take the name of what a later one has put there meanwhile: what came out is looked at, and put back.
    """
    for path in staging.iterdir():
        sync(path)
    (staging / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
    sync(staging / MANIFEST_NAME)
    sync(staging)
    if not final.exists():
        staging.rename(final)
    elif not _is_made_of(final, manifest):
        swap(staging, final)
        if _is_made_of(staging, manifest):
            swap(staging, final)
    sync(final.parent)
    shutil.rmtree(staging, ignore_errors=True)


def _is_made_of(folder: Path, manifest: Manifest) -> bool:
    """Whether it is whole, and of the same version, base, dataset and parent."""
    try:
        found = check(folder)
    except FolderRefused:
        return False
    return all(getattr(found, name) == getattr(manifest, name) for name in _MADE_OF)


def exchange(staging: Path, final: Path, manifest: Manifest) -> None:
    """Put the rewritten `staging` where `final` stands, in one step: at no moment is there no whole folder."""
    for path in staging.iterdir():
        sync(path)
    (staging / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
    sync(staging / MANIFEST_NAME)
    sync(staging)
    swap(staging, final)
    sync(final.parent)
    shutil.rmtree(staging)


def write_whole(path: Path, text: str) -> None:
    """Write a single file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    staging.write_text(text, encoding="utf-8")
    sync(staging)
    staging.rename(path)
    sync(path.parent)


def swap(one: Path, other: Path) -> None:
    """Exchange the names of two folders or files at once; OSError where the file system cannot."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.renameat2(_AT_CWD, bytes(one.absolute()), _AT_CWD, bytes(other.absolute()), _EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(one), None, str(other))


def is_whole(folder: Path) -> bool:
    """Whether every file of the manifest is there and unchanged, and nothing else is."""
    try:
        check(folder)
    except FolderRefused:
        return False
    return True


def check(folder: Path) -> Manifest:
    """The manifest of a folder whose files are exactly those it lists, by hash; FolderRefused otherwise."""
    manifest = read_manifest(folder)
    found = {path.name for path in folder.iterdir()} - {MANIFEST_NAME}
    if found != set(manifest.files):
        raise FolderRefused(
            f"Expected the files {sorted(manifest.files)} in {folder}, found {sorted(found)}: publish it anew"
        )
    for name, expected in manifest.files.items():
        path = folder / name
        if not stat.S_ISREG(path.lstat().st_mode):
            raise FolderRefused(f"Expected a plain file at {path}, found a link or something else: publish it anew")
        actual = sha256_of(path)
        if actual != expected:
            raise FolderRefused(f"Expected SHA-256 {expected} for {path}, found {actual}: publish it anew")
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest of `folder`, its files unchecked; FolderRefused where there is none that can be read."""
    path = folder / MANIFEST_NAME
    try:
        if not stat.S_ISREG(path.lstat().st_mode) or path.stat().st_size > _MANIFEST_LIMIT:
            raise FolderRefused(
                f"Expected a plain file of at most {_MANIFEST_LIMIT} bytes at {path}, found another kind"
            )
        return Manifest.from_json(path.read_bytes())
    except OSError as error:
        raise FolderRefused(
            f"Expected a finished folder with {MANIFEST_NAME} at {folder}, found {error.strerror}"
        ) from error
    except ValidationError as error:
        raise FolderRefused(f"Expected a manifest at {path}, found one that does not read: {error}") from error


def sync(path: Path) -> None:
    """On disk, whatever happens to the machine."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
