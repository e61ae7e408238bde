"""What the first bytes of a file say it is, against what its name says."""

import re

from resources.file_names import Kind
from resources.records import FileRefused

HEAD_BYTES = 1 << 16
GZIP = b"\x1f\x8b"
PARQUET = b"PAR1"
_ARCHIVES = {
    GZIP: "gzip",
    b"PK\x03\x04": "a zip archive",
    b"PK\x05\x06": "a zip archive",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstandard",
    b"\xfd7zXZ": "xz",
    b"\x7fELF": "a program",
    b"%PDF": "a PDF",
    PARQUET: "Parquet",
}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_OBJECT_LINE = re.compile(rb"^[ \t\r]*\{", re.MULTILINE)
_TWO_OBJECT_LINES = re.compile(rb"\A\s*\{[^\n]*\}[ \t\r]*\n\s*\{")


def check_kind(head: bytes, kind: Kind) -> None:
    """Raises FileRefused when the file is empty or looks like something other than `kind`."""
    if not head.strip():
        if len(head) < HEAD_BYTES:
            raise FileRefused("empty_file", "expected at least one record, found an empty file")
        return  # there may be records behind so much space: their reader tells
    found = _looks_like(head)
    if kind == "parquet":
        if found != "Parquet":
            raise _lying(kind, found or "none of its marks")
    elif found:
        raise _lying(kind, found)
    else:
        _check_text(head.removeprefix(b"\xef\xbb\xbf"), kind)


def _looks_like(head: bytes) -> str | None:
    return next((name for mark, name in _ARCHIVES.items() if head.startswith(mark)), None)


def _check_text(head: bytes, kind: Kind) -> None:
    if head.startswith(_UTF16) or head[1:8:2] == b"\0" * 4 or head[0:8:2] == b"\0" * 4:
        raise FileRefused("not_utf8", "expected UTF-8, found UTF-16 or UTF-32: save the file as UTF-8", 1, 1)
    first = head.lstrip()[:1]
    if kind == "json":
        if first not in (b"[", b"{"):
            raise _lying(kind, "neither an array nor an object")
        if _TWO_OBJECT_LINES.match(head):
            raise _lying(kind, "JSON Lines: name it .jsonl")
    elif kind == "jsonl" and first == b"[":
        raise _lying(kind, "a JSON array: name it .json")
    elif kind == "jsonl" and not _OBJECT_LINE.search(head):
        raise _lying(kind, "no line that begins an object")
    elif kind == "csv" and (first == b"[" or _TWO_OBJECT_LINES.match(head) or _is_json_object(head)):
        raise _lying(kind, "JSON")


def _is_json_object(head: bytes) -> bool:
    return re.match(rb'\A\s*\{\s*"[^"]*"\s*:', head) is not None


def _lying(kind: Kind, found: str) -> FileRefused:
    return FileRefused("wrong_extension", f"expected {kind} as its name says, found {found}")
