"""A gzip stream read within bounds: neither size nor ratio of what comes out is left to the file."""

import zlib
from io import BufferedReader, RawIOBase
from typing import Any, BinaryIO

from resources.records import FileRefused, Limits

_PIECE = 1 << 16
_GZIP = 31  # zlib's window bits for a gzip header and trailer
_ALWAYS_FINE = 8 << 20  # short repetitive files compress beyond every ratio
_MOST_MEMBERS = 100_000


class Gunzip(RawIOBase):
    """Every member of a gzip file as one stream. Reading raises FileRefused for what is broken, torn or a bomb."""

    def __init__(self, file: BinaryIO, limits: Limits) -> None:
        self._file = file
        self._limits = limits
        self._inflate = zlib.decompressobj(_GZIP)
        self._waiting = b""
        self._members = 1
        self._taken = self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        room = memoryview(buffer).cast("B")
        while True:
            if self._inflate.eof:
                if not self._begin_member():
                    return 0
            elif not self._waiting and not self._fetch():
                raise FileRefused("torn_gzip", "expected a whole gzip stream, found its end missing: send it again")
            piece = self._some(len(room))
            if piece:
                room[: len(piece)] = piece
                return len(piece)

    def _fetch(self) -> bool:
        piece = self._file.read(_PIECE)
        self._taken += len(piece)
        self._waiting += piece
        return bool(piece)

    def _some(self, most: int) -> bytes:
        try:
            piece = self._inflate.decompress(self._waiting, most)
        except zlib.error:
            raise FileRefused("broken_gzip", f"expected gzip, found damage before byte {self._taken}") from None
        self._waiting = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
        self._given += len(piece)
        self._check()
        return piece

    def _begin_member(self) -> bool:
        """A further member, or nothing but the zeros that some tools pad with."""
        while not self._waiting.lstrip(b"\0"):
            self._waiting = b""
            if not self._fetch():
                return False
        self._members += 1
        if self._members > _MOST_MEMBERS:
            raise FileRefused("broken_gzip", f"expected at most {_MOST_MEMBERS} gzip members, found more")
        self._inflate = zlib.decompressobj(_GZIP)
        return True

    def _check(self) -> None:
        most = self._limits.decompressed_bytes
        if self._given > most:
            raise FileRefused("decompression_bomb", f"expected at most {most} bytes once decompressed, found more")
        ratio = self._limits.compression_ratio
        if self._given > max(_ALWAYS_FINE, ratio * self._taken):
            raise FileRefused(
                "decompression_bomb", f"expected at most {ratio} bytes for each compressed one, found more"
            )


def gunzipped(file: BinaryIO, limits: Limits) -> BinaryIO:
    """A buffered reader of what is inside."""
    return BufferedReader(Gunzip(file, limits), 1 << 18)
