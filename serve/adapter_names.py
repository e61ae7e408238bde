"""Which versions of this lineage are on disk, known without asking the disk."""

from pathlib import Path

from core.manifest import MANIFEST_NAME
from resources.folders import FolderRefused, read_manifest
from serve.engine import VERSION_NAME


class AdapterNames:
    """`names` is what the last `look` found; a look reads a manifest only when it is new."""

    def __init__(self, adapters: Path, lineage: str) -> None:
        self.names: tuple[str, ...] = ()
        self._adapters, self._lineage = adapters, lineage
        self._bases: dict[tuple[str, int], str | None] = {}

    def look(self) -> None:
        """Blocks for the disk: for a thread. What cannot be read is not offered."""
        known, self._bases = self._bases, {}
        for path in self._adapters.glob(f"v*/{MANIFEST_NAME}"):
            if VERSION_NAME.fullmatch(path.parent.name):
                key = path.parent.name, _written(path)
                self._bases[key] = known[key] if key in known else _base(path.parent)
        ours = {name for (name, _), base in self._bases.items() if base == self._lineage}
        self.names = tuple(sorted(ours, key=lambda name: int(name[1:])))


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # removed meanwhile
        return 0


def _base(folder: Path) -> str | None:
    try:
        return read_manifest(folder).base_fingerprint
    except FolderRefused:
        return None
