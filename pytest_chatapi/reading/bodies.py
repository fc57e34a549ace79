"""Bodies out of recordings, decompressed according to their bytes and not to a header."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.reading.files import (
    MAX_DOCUMENT,
    MAX_RATIO,
    SMALL,
    gunzip,
    mib,
    zlib_reason,
)
from pytest_chatapi.reading.format import NOWHERE, Origin
from pytest_chatapi.reading.yaml_events import MAX_DEPTH

__all__ = ["BodyProblem", "plain_body"]

_TEXT_STARTS = b'{["deir: \t\r\n'
"""First bytes of JSON and of event streams, which are not compressed then."""

_BROTLI_STEP = 16
"""Bytes decompressed at a time, since a few of them can become megabytes."""


class BodyProblem(ValueError):
    """Why a recorded body cannot be used, in one line."""


def plain_body(body: JSON, encoding: str = "", origin: Origin = NOWHERE) -> JSON:
    """The body as it was on the wire, but decompressed; ``None`` for an empty one.

    Args:
        body: bytes, text or parsed JSON.
        encoding: the content-encoding header, for encodings that the bytes do not show.
        origin: of the value that it is part of; parsed JSON is not searched then.

    Raises:
        BodyProblem: it is damaged, too large or nested too deeply.
    """
    if isinstance(body, str):
        if body.isascii():
            return body or None
        if body.startswith("\x1f\x8b\x08"):  # gzip data recorded as Latin-1 text
            try:
                return plain_body(body.encode("latin-1"), encoding)
            except UnicodeEncodeError:
                pass
        return _encodable(body)
    if isinstance(body, (bytes, bytearray)):
        return _decompressed(bytes(body), encoding.lower()) or None
    if body is None or origin.is_json_within(MAX_DEPTH):
        return body
    return _parsed(body)


def _encodable(text: str) -> str | bytes:
    try:
        text.encode()
    except UnicodeEncodeError:  # lone surrogates: undecodable bytes, or JSON escapes
        try:
            return text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            return text.encode("utf-8", "surrogatepass")
    return text


def _limit(size: int) -> int:
    return min(MAX_DOCUMENT, max(SMALL, size * MAX_RATIO))


def _too_large(limit: int) -> BodyProblem:
    return BodyProblem(f"the body decompresses to more than {mib(limit)}")


def _joined(parts: Iterable[bytes], limit: int) -> bytes:
    """All parts as one. A part beyond the limit is the last one that is decompressed."""
    joined, size = [], 0
    for part in parts:
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        joined.append(part)
    return b"".join(joined)


def _decompressed(body: bytes, encoding: str) -> bytes:
    if body.startswith(b"\x1f\x8b\x08"):
        return _gunzip(body)
    if not body or body[0] in _TEXT_STARTS:
        return body
    if body.startswith(b"\x28\xb5\x2f\xfd"):
        return _unzstd(body)
    if body[0] & 0x0F == 8 and len(body) > 2 and (body[0] << 8 | body[1]) % 31 == 0:
        return _inflate(body, zlib.MAX_WBITS)
    if "deflate" in encoding:
        return _inflate(body, -zlib.MAX_WBITS)
    if "br" in encoding:
        return _unbrotli(body)
    return body


def _gunzip(body: bytes) -> bytes:
    try:
        return _joined(gunzip(body), _limit(len(body)))
    except zlib.error as error:
        raise BodyProblem(f"the body is damaged gzip data: {zlib_reason(error)}") from None
    except EOFError:
        raise BodyProblem("the gzip data of the body is cut off") from None


def _inflate(body: bytes, bits: int) -> bytes:
    unzip = zlib.decompressobj(bits)
    limit = _limit(len(body))
    try:
        data = unzip.decompress(body, limit + 1)
    except zlib.error:
        return body
    if len(data) > limit:
        raise _too_large(limit)
    return data if unzip.eof else body


def _unzstd(body: bytes) -> bytes:
    try:
        import zstandard  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        return body
    limit = _limit(len(body))
    try:
        with zstandard.ZstdDecompressor().stream_reader(body, read_across_frames=True) as reader:
            data: bytes = reader.read(limit + 1)
    except zstandard.ZstdError:
        return body
    if len(data) > limit:
        raise _too_large(limit)
    return data or body  # a frame that is cut off gives nothing


def _unbrotli(body: bytes) -> bytes:
    try:
        import brotli  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        return body
    unbrotli = brotli.Decompressor()
    steps = (body[at : at + _BROTLI_STEP] for at in range(0, len(body), _BROTLI_STEP))
    parts: Iterator[bytes] = map(unbrotli.process, steps)
    try:
        data = _joined(parts, _limit(len(body)))
    except brotli.error:
        return body
    return data if unbrotli.is_finished() else body


def _parsed(value: JSON) -> JSON:
    """`value`, with what only YAML and TOML have turned into what JSON has.

    Raises:
        BodyProblem: it is nested too deeply.
    """
    odd = False
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[JSON] = []
        for item in level:
            if isinstance(item, dict):
                below += [v for v in item.values() if v.__class__ not in _LEAVES]
                odd = odd or not _TEXT.issuperset(map(type, item))
            elif isinstance(item, list):
                below += [v for v in item if v.__class__ not in _LEAVES]
            elif item.__class__ not in _LEAVES:
                odd = True
        if not below:
            return _as_json(value) if odd else value
        level = below
    raise BodyProblem(f"the body is nested deeper than {MAX_DEPTH} levels")


_TEXT = frozenset({str})
_LEAVES = _TEXT | {int, float, bool, type(None)}
_WORDS = {True: "true", False: "false", None: "null"}


def _as_json(value: JSON) -> JSON:
    if isinstance(value, dict):
        return {_key(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    if value.__class__ in _LEAVES:
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def _key(key: JSON) -> str:
    if isinstance(key, bytes):
        return key.decode("utf-8", "replace")
    return _WORDS[key] if key is None or isinstance(key, bool) else str(key)
