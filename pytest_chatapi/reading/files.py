"""Files and pipes as blocks of bytes: unzipped, as UTF-8, and within bounds."""

from __future__ import annotations

import codecs
import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from typing import IO, Any, BinaryIO

from pytest_chatapi.errors import ReadError

__all__ = [
    "BLOCK",
    "GZIP",
    "MAX_DOCUMENT",
    "MAX_RATIO",
    "MAX_STREAM",
    "SMALL",
    "FilePieces",
    "SpooledPieces",
    "blocks_of",
    "blocks_of_path",
    "gunzip",
    "join",
    "lines_of",
    "mib",
    "os_reason",
    "starts_with",
    "zlib_reason",
]

BLOCK = 64 * 1024
"""Bytes read at a time."""

MAX_DOCUMENT = 256 * 1024 * 1024
"""Bytes of what has to be held in memory at once: a document, a line, a body."""

MAX_STREAM = 1024 * 1024 * 1024
"""Bytes a gzip file that is only streamed may expand to at any ratio."""

MAX_RATIO = 200
"""Times its own size that gzip data may expand to, beyond `SMALL` (or `MAX_STREAM`) bytes."""

SMALL = 16 * 1024 * 1024
"""Bytes any gzip data may expand to, however small it is."""

_STEP = 8 * 1024
GZIP = b"\x1f\x8b\x08"
_REASONS: dict[type[OSError], str] = {
    FileNotFoundError: "no such file or folder",
    PermissionError: "permission denied",
    IsADirectoryError: "is a folder",
}


def os_reason(error: OSError | ValueError) -> str:
    """What an error of the operating system says, in the words of this package."""
    for kind, reason in _REASONS.items():
        if isinstance(error, kind):
            return reason
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or error}"
    return _REASONS[FileNotFoundError]  # a path with a NUL byte, which no file can have


def mib(size: int) -> str:
    return f"{size >> 20} MiB"


def blocks_of(file: BinaryIO, name: str) -> Iterator[bytes]:
    """The content of `file` in blocks: unzipped, UTF-16 turned to UTF-8, no byte-order mark."""
    blocks = _peeked(_raw_blocks(file, name))
    head = next(blocks)
    if head.startswith(GZIP):
        blocks = _peeked(_unzipped(_chain(head, blocks), name))
        head = next(blocks)
    encoding = _utf16(head)
    if encoding:
        blocks = _peeked(_recoded(_chain(head, blocks), encoding, name))
        head = next(blocks)
    yield from _chain(head.removeprefix(codecs.BOM_UTF8), blocks)


def blocks_of_path(path: str, name: str) -> Iterator[bytes]:
    """`blocks_of` a file that is opened at the first block and closed after the last."""
    try:
        file = open(path, "rb", buffering=0)  # noqa: SIM115
    except (OSError, ValueError) as error:
        raise ReadError(name, "", os_reason(error)) from None
    with file:
        yield from blocks_of(file, name)


def _raw_blocks(file: BinaryIO, name: str) -> Iterator[bytes]:
    # A pipe gives what it has at once, so that a live one is checked as it comes.
    read: Any = getattr(file, "read1", file.read)
    while True:
        try:
            block = read(BLOCK)
        except OSError as error:
            raise ReadError(name, "", os_reason(error)) from None
        if not block:
            return
        if not isinstance(block, (bytes, bytearray, memoryview)):
            raise TypeError("open the file in binary mode")
        yield bytes(block)


def _peeked(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """First the beginning, of at least four bytes where there are as many; then the rest."""
    head = b""
    for block in blocks:
        head += block
        if len(head) >= 4:
            break
    yield head
    yield from blocks


def _chain(head: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from blocks


def _utf16(head: bytes) -> str:
    if head.startswith(codecs.BOM_UTF16_LE) and head[2:4] != b"\0\0":
        return "utf-16"
    if head.startswith(codecs.BOM_UTF16_BE):
        return "utf-16"
    if len(head) >= 4 and head[1] == 0 == head[3] and head[0] and head[2]:
        return "utf-16-le"
    if len(head) >= 4 and head[0] == 0 == head[2] and head[1] and head[3]:
        return "utf-16-be"
    return ""


def _recoded(blocks: Iterator[bytes], encoding: str, name: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for block in blocks:
            if text := decoder.decode(block):
                yield text.encode()
        yield decoder.decode(b"", True).encode()
    except UnicodeError:
        reason = "damaged UTF-16 text; save the file as UTF-8"
        raise ReadError(name, "", reason) from None


def gunzip(data: bytes) -> Iterator[bytes]:
    """Of any number of gzip members, bytes after the last one ignored as gzip does.

    Raises:
        zlib.error: for damaged data.
        EOFError: for data that is cut off.
    """
    return _gunzip([data], [0])


def _gunzip(blocks: Iterable[bytes], taken: list[int]) -> Iterator[bytes]:
    unzip = zlib.decompressobj(31)
    inside = False
    for block in blocks:
        # In small steps: what is left after each member is copied.
        for at in range(0, len(block), _STEP):
            rest = block[at : at + _STEP]
            taken[0] += len(rest)
            while rest:
                if unzip.eof:
                    rest = rest.lstrip(b"\0")
                    if not rest:
                        break
                    if rest[:1] != GZIP[:1]:
                        return
                    unzip, inside = zlib.decompressobj(31), False
                data = unzip.decompress(rest, 4 * BLOCK)
                inside = True
                if data:
                    yield data
                rest = unzip.unused_data if unzip.eof else unzip.unconsumed_tail
    if inside and not unzip.eof:
        raise EOFError


def _unzipped(blocks: Iterator[bytes], name: str) -> Iterator[bytes]:
    taken, given = [0], 0
    try:
        for data in _gunzip(blocks, taken):
            given += len(data)
            if given > MAX_STREAM and given > taken[0] * MAX_RATIO:
                reason = (
                    f"decompresses to more than {mib(MAX_STREAM)}, "
                    f"over {MAX_RATIO} times its size; unzip it yourself if it is meant to"
                )
                raise ReadError(name, "", reason)
            yield data
    except zlib.error as error:
        raise ReadError(name, "", f"damaged gzip data: {zlib_reason(error)}") from None
    except EOFError:
        raise ReadError(name, "", "the gzip data is cut off") from None


def zlib_reason(error: zlib.error) -> str:
    return str(error).rpartition(": ")[2]


def join(blocks: Iterable[bytes], name: str, path: str | None = None) -> bytes:
    """All blocks as one, within `MAX_DOCUMENT`, and within `MAX_RATIO` of a gzip file at `path`."""
    limit, reason = MAX_DOCUMENT, "the document is larger than"
    if path is not None and starts_with(path, GZIP):
        limit = min(limit, max(SMALL, os.path.getsize(path) * MAX_RATIO))
        reason = "decompresses to more than"
    parts, size = [], 0
    for block in blocks:
        size += len(block)
        if size > limit:
            raise ReadError(name, "", f"{reason} {mib(limit)}")
        parts.append(block)
    return b"".join(parts)


def starts_with(path: str, *heads: bytes) -> bool:
    with open(path, "rb") as file:
        return file.read(4).startswith(heads)


def lines_of(blocks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Lines without their ``\\n``; the last one also where its ``\\n`` is missing."""
    pending: list[bytes] = []
    size, number = 0, 1
    for block in blocks:
        first, *others = block.split(b"\n")
        pending.append(first)
        size += len(first)
        if size > MAX_DOCUMENT:
            reason = f"the line is longer than {mib(MAX_DOCUMENT)}"
            raise ReadError(name, f"line {number}", reason)
        if others:
            yield b"".join(pending)
            yield from others[:-1]
            number += len(others)
            pending, size = [others[-1]], len(others[-1])
    last = b"".join(pending)
    if last:
        yield last


class FilePieces:
    """The content of a file in blocks, read anew at each iteration."""

    __slots__ = ("name", "path")

    def __init__(self, path: str, name: str) -> None:
        self.path, self.name = path, name

    def __iter__(self) -> Iterator[bytes]:
        return blocks_of_path(self.path, self.name)

    def __repr__(self) -> str:
        return f"FilePieces({self.path!r})"


class SpooledPieces:
    """Blocks that can be had only once, kept in memory up to 1 MiB and beyond that on disk."""

    __slots__ = ("_file", "name")

    def __init__(self, blocks: Iterable[bytes], name: str) -> None:
        self.name = name
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(1 << 20)  # noqa: SIM115
        try:
            for block in blocks:
                self._file.write(block)
        except OSError as error:
            raise ReadError(name, "", f"cannot be kept on disk: {error.strerror}") from None

    def __iter__(self) -> Iterator[bytes]:
        place = 0
        while True:
            self._file.seek(place, os.SEEK_SET)
            block = self._file.read(BLOCK)
            if not block:
                return
            place += len(block)
            yield block

    def __del__(self) -> None:
        file = getattr(self, "_file", None)
        if file is not None:
            file.close()
