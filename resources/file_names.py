"""Names of files as clients send them: one path component that every file system holds, and what its ending says."""

import re
from typing import Literal

Kind = Literal["jsonl", "json", "csv", "parquet"]
_KINDS: dict[str, Kind] = {"jsonl": "jsonl", "ndjson": "jsonl", "json": "json", "csv": "csv", "parquet": "parquet"}
_LONGEST = 255
# control characters, and those that make a name read otherwise than it is
_UNSEEN = re.compile("[\0-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_DRIVE = re.compile(r"[A-Za-z]:")


class NameRefused(ValueError):
    """A file name that is a path, too long, or not what it looks like."""


def safe_name(name: str) -> str:
    """The name as it is. Raises NameRefused for whatever could lead elsewhere or cannot be stored."""
    if name in ("", ".", ".."):
        raise NameRefused("Expected the name of a file, found an empty or a folder's one")
    if "/" in name or "\\" in name or _DRIVE.match(name):
        raise NameRefused("Expected the name of a file alone, found a path: send the last part of it")
    if found := _UNSEEN.search(name):
        raise NameRefused(f"Expected printable characters in a file's name, found U+{ord(found[0]):04X}")
    try:
        length = len(name.encode())
    except UnicodeEncodeError as error:
        raise NameRefused(f"Expected Unicode in a file's name, found half a character at {error.start}") from None
    if length > _LONGEST:
        raise NameRefused(f"Expected a file's name of at most {_LONGEST} bytes, found {length}")
    return name


def kind_of(extension: str) -> tuple[Kind, bool]:
    """What an ending or a whole name announces, and if compressed: `.jsonl.gz` is jsonl, True. Or NameRefused."""
    *_, before, last = ["", "", *extension.lower().split(".")]
    compressed = last in ("gz", "gzip")
    ending = before if compressed else last
    if ending not in _KINDS:
        raise NameRefused(f"Expected a file ending in {', '.join(_KINDS)}, or one of these and .gz, found another")
    return _KINDS[ending], compressed
