"""A multipart body with one file in it, streamed to disk as it comes; the other parts are short texts."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from resources.file_names import NameRefused, safe_name
from resources.upload_files import Staged
from serve.errors import ApiError

FILE_PART = "file"
_FIELD_BYTES = 64 * 2**10
_ENVELOPE_BYTES = 2**20  # names, headers and boundaries around the file
_WRITE_BYTES = 2**20


@dataclass
class Received:
    """The texts by the name of their part, and the name that the client gave to the file."""

    fields: dict[str, str] = field(default_factory=dict)
    file_name: str | None = None


async def receive(
    request: Request,
    staged: Staged,
    *,
    fields: frozenset[str],
    check_name: Callable[[str], object],
    limit: int,
    seconds: float,
) -> Received:
    """Read the body into `staged`. Raises ApiError at the first byte that is too much, and for a part that is odd."""
    parts = _Parts(_parser_boundary(request), fields, check_name, limit)
    announced = _announced(request, limit)
    read = 0
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                read += len(chunk)
                _check_length(read, announced, limit)
                parts.feed(chunk)
                if parts.waiting_bytes >= _WRITE_BYTES:
                    await asyncio.to_thread(staged.write, parts.take())
    except TimeoutError:
        raise ApiError(408, f"Expected the body within {seconds:g} s, found it unfinished", code="slow_body") from None
    received = parts.end()
    await asyncio.to_thread(_finish, staged, parts.take())
    if staged.size == 0:
        raise _refused(FILE_PART, "expected a file with data in it, found an empty one")
    return received


def too_large(limit: int) -> ApiError:
    message = f"{FILE_PART}: expected at most {limit} bytes, found more: split it, or send it compressed by gzip"
    return ApiError(413, message, param=FILE_PART, code="file_too_large")


class _Parts:
    """What the parser's calls come to; the file's bytes wait here until somebody takes them to the disk."""

    def __init__(
        self, boundary: bytes, fields: frozenset[str], check_name: Callable[[str], object], limit: int
    ) -> None:
        self._known, self._check_name, self._limit, self._size = fields, check_name, limit, 0
        self._received, self._ended, self._started = Received(), False, False
        self._header, self._headers = [b"", b""], dict[bytes, bytes]()
        self._name, self._text, self._file = "", bytearray(), bytearray()
        calls = ("part_begin", "part_data", "part_end", "header_field", "header_value", "header_end",
                 "headers_finished", "end")  # fmt: skip
        self._parser = MultipartParser(boundary, {f"on_{call}": getattr(self, f"_{call}") for call in calls})  # type: ignore[arg-type]

    @property
    def waiting_bytes(self) -> int:
        return len(self._file)

    def take(self) -> bytes:
        taken = bytes(self._file)
        self._file.clear()
        return taken

    def feed(self, chunk: bytes) -> None:
        try:
            if chunk:
                self._parser.write(chunk)
        except FormParserError:
            raise _broken("found something else") from None

    def end(self) -> Received:
        if not self._ended:
            raise _broken("found it cut off before the last boundary")
        if self._received.file_name is None:
            raise _refused(FILE_PART, "expected a part with a file in it, found none")
        return self._received

    def _part_begin(self) -> None:
        self._headers.clear()
        self._text.clear()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0] += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1] += data[start:end]

    def _header_end(self) -> None:
        name, value = self._header
        self._headers[name.lower()] = value
        self._header = [b"", b""]

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        known = self._name == FILE_PART or self._name in self._known
        if not known:
            expected = ", ".join([FILE_PART, *sorted(self._known)])
            raise _refused(self._name[:64] or "the body", f"unknown part, expected one of {expected}")
        if self._name in self._received.fields or (self._name == FILE_PART and self._received.file_name is not None):
            raise _refused(self._name, "expected this part once, found it again")
        if self._name == FILE_PART:
            self._received.file_name = _file_name(options.get(b"filename"))
            self._check_name(self._received.file_name)

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._name == FILE_PART:
            self._size += end - start
            if self._size > self._limit:
                raise too_large(self._limit)
            self._file += data[start:end]
            return
        self._text += data[start:end]
        if len(self._text) > _FIELD_BYTES:
            raise _refused(self._name, f"expected at most {_FIELD_BYTES} bytes, found more")

    def _part_end(self) -> None:
        if self._name == FILE_PART:
            return
        try:
            self._received.fields[self._name] = self._text.decode()
        except UnicodeDecodeError as error:
            raise _refused(self._name, f"expected UTF-8, found an invalid byte at {error.start}") from None

    def _end(self) -> None:
        self._ended = True


def _parser_boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        message = "Expected Content-Type multipart/form-data, found another one: send the file as the part `file`"
        raise ApiError(415, message, param="Content-Type", code="unsupported_media_type")
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 70:
        raise _broken("found no boundary of 1 to 70 characters in Content-Type")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise ApiError(415, "Expected a body without Content-Encoding, found an encoded one", code="encoded_body")
    return boundary


def _announced(request: Request, limit: int) -> int | None:
    announced = request.headers.get("content-length", "")
    if not announced.isdecimal():
        return None
    if int(announced) > limit + _ENVELOPE_BYTES:
        raise too_large(limit)
    return int(announced)


def _check_length(read: int, announced: int | None, limit: int) -> None:
    if announced is not None and read > announced:
        message = f"Expected {announced} bytes as Content-Length says, found more"
        raise ApiError(400, message, param="Content-Length", code="wrong_length")
    if read > limit + _ENVELOPE_BYTES:
        raise too_large(limit)


def _file_name(given: bytes | None) -> str:
    """The client's name for the file: shown, never used as a path, so that one that looks like a path is a mistake."""
    if not given:
        raise _refused(FILE_PART, "expected a file name with its extension, found none")
    try:
        return safe_name(given.decode())
    except UnicodeDecodeError:
        raise _refused(FILE_PART, "expected a file name in UTF-8, found an invalid byte") from None
    except NameRefused as refused:
        raise _refused(FILE_PART, str(refused)) from None


def _finish(staged: Staged, rest: bytes) -> None:
    staged.write(rest)
    staged.finish()


def _broken(found: str) -> ApiError:
    return ApiError(400, f"Expected a multipart/form-data body, {found}", code="invalid_multipart")


def _refused(param: str, problem: str) -> ApiError:
    return ApiError(422, f"{param}: {problem}", param=param, code="invalid_value")
