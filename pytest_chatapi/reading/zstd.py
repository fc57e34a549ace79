"""Files compressed with Zstandard, by pyarrow (extra ``logs``)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from pytest_chatapi.errors import ReadError

__all__ = ["unpacked"]

_BLOCK = 256 * 1024


class _Raw(io.RawIOBase):
    """Blocks of bytes as a file."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = b""
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._rest or next(self._blocks, b"")
        count = min(len(buffer), len(data))
        buffer[:count] = data[:count]
        self._rest = data[count:]
        self.size += count
        return count


def unpacked(blocks: Iterator[bytes], name: str) -> Iterator[tuple[bytes, int]]:
    """Blocks of the content, each with the number of bytes read so far.

    Raises:
        ReadError: pyarrow is missing, or the data is damaged or cut off.
    """
    try:
        import pyarrow as pa
    except ImportError:
        reason = "compressed with zstd: pip install 'pytest-chatapi[logs]' to read it"
        raise ReadError(name, "", reason) from None
    raw = _Raw(blocks)
    stream = pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd")
    while True:
        try:
            data = stream.read(_BLOCK)
        except OSError as error:
            is_cut = "runcated" in str(error)
            reason = "the zstd data is cut off" if is_cut else "damaged zstd data"
            raise ReadError(name, "", reason) from None
        if not data:
            return
        yield data, raw.size
