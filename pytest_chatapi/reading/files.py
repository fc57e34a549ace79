"""Files and pipes as blocks of bytes: decompressed, in UTF-8, and within bounds."""

from __future__ import annotations

import codecs
import os
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import IO, BinaryIO

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
"""Bytes of whatever is held in memory as a whole: a document, a line, a body."""

MAX_STREAM = 1024 * 1024 * 1024
"""Bytes to which a gzip file that is only streamed may expand at any ratio."""

MAX_RATIO = 200
"""Factor by which gzip data may expand beyond `SMALL` (in a stream, `MAX_STREAM`) bytes."""

SMALL = 16 * 1024 * 1024
"""Bytes to which any gzip data may expand, however small it is."""

_STEP = 8 * 1024
"""Compressed bytes handled at a time: what follows a gzip member in them is copied."""

GZIP = b"\x1f\x8b\x08"
_ZSTD = b"\x28\xb5\x2f\xfd"
_REASONS: dict[type[OSError], str] = {
    FileNotFoundError: "no such file or folder",
    PermissionError: "permission denied",
    IsADirectoryError: "is a folder",
}


def os_reason(error: OSError | ValueError) -> str:
    """The reason that messages give for an error of the operating system."""
    for kind, reason in _REASONS.items():
        if isinstance(error, kind):
            return reason
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or error}"
    return _REASONS[FileNotFoundError]  # a NUL byte in the path, so there can be no such file


def mib(size: int) -> str:
    """``16 MiB``, rounded down."""
    return f"{size >> 20} MiB"


def blocks_of(file: BinaryIO, name: str) -> Iterator[bytes]:
    """The content of `file` in blocks: decompressed, in UTF-8, without a byte-order mark.

    Raises:
        ReadError: it cannot be read, or the compression or encoding is damaged.
    """
    blocks = _peeked(_raw_blocks(file, name))
    head = next(blocks)
    if head.startswith(GZIP):
        blocks = _peeked(_unzipped(_chain(head, blocks), name))
        head = next(blocks)
    elif head.startswith(_ZSTD):
        from pytest_chatapi.reading.zstd import unpacked

        blocks = _peeked(_bounded(unpacked(_chain(head, blocks), name), name))
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
    # `read1` returns what a pipe has at the moment, so that live traffic is not held up.
    read: Callable[[int], object] = getattr(file, "read1", file.read)
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
    """The beginning, of at least four bytes unless there are fewer; then the rest."""
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
    """The content of all gzip members in `data`, in blocks; `gzip` too ignores what follows them.

    Raises:
        zlib.error: the data is damaged.
        EOFError: it is cut off.
    """
    return (block for block, _ in _gunzip([data]))


def _gunzip(blocks: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    """Blocks of the content, each with the number of bytes read so far."""
    unzip = zlib.decompressobj(31)
    inside = False
    size = 0
    for block in blocks:
        for at in range(0, len(block), _STEP):
            rest = block[at : at + _STEP]
            size += len(rest)
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
                    yield data, size
                rest = unzip.unused_data if unzip.eof else unzip.unconsumed_tail
    if inside and not unzip.eof:
        raise EOFError


def _unzipped(blocks: Iterator[bytes], name: str) -> Iterator[bytes]:
    try:
        yield from _bounded(_gunzip(blocks), name)
    except zlib.error as error:
        raise ReadError(name, "", f"damaged gzip data: {zlib_reason(error)}") from None
    except EOFError:
        raise ReadError(name, "", "the gzip data is cut off") from None


def _bounded(blocks: Iterable[tuple[bytes, int]], name: str) -> Iterator[bytes]:
    """Decompressed blocks, each of which comes with the number of bytes read so far."""
    unzipped_size = 0
    for data, zipped_size in blocks:
        unzipped_size += len(data)
        if unzipped_size > MAX_STREAM and unzipped_size > zipped_size * MAX_RATIO:
            reason = (
                f"decompresses to more than {mib(MAX_STREAM)}, over {MAX_RATIO} times its "
                "size; if that is expected, decompress it first"
            )
            raise ReadError(name, "", reason)
        yield data


def zlib_reason(error: zlib.error) -> str:
    """The reason in an error of `zlib`, without its number."""
    return str(error).rpartition(": ")[2]


def join(blocks: Iterable[bytes], name: str, path: str | None = None) -> bytes:
    """All blocks as one.

    Args:
        path: of the file, if it can be looked at: then `MAX_RATIO` holds for a gzip file.

    Raises:
        ReadError: it is larger than the bounds allow.
    """
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
    """Whether a file begins with one of `heads`, of at most four bytes each."""
    with open(path, "rb") as file:
        return file.read(4).startswith(heads)


def lines_of(blocks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """The lines, without ``\\n``; the last one need not end with it.

    Raises:
        ReadError: a line is longer than `MAX_DOCUMENT`.
    """
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
    """Blocks of a pipe, kept to be read again: up to 1 MiB in memory, beyond that on disk.

    Raises:
        ReadError: the disk is full.
    """

    __slots__ = ("_file", "name")

    def __init__(self, blocks: Iterable[bytes], name: str) -> None:
        self.name = name
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(1 << 20)  # noqa: SIM115
        try:
            for block in blocks:
                self._file.write(block)
        except OSError as error:
            raise ReadError(name, "", f"cannot be buffered on disk: {error.strerror}") from None

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
