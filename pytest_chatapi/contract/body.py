"""The body of a response, told by its first bytes before it is read as a whole."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping

from pytest_chatapi.contract.exchange import Response
from pytest_chatapi.contract.parse import first_value, loads_bytes
from pytest_chatapi.contract.sse import looks_like_sse
from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.contract.wording import ABSENT, is_placeholder

__all__ = ["BYTE_ORDER_MARK", "Body"]

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# Bytes by which an event stream is told from JSON.
_HEAD = 512


class Body:
    """A body that is read once.

    Attributes:
        cut: which side ended the connection before the body was complete.
        head: the first bytes, without leading white space.
        is_blank: there is nothing but white space in it.
        is_empty: there is nothing in it.
        media_type: the content type without its parameters, in lower case; empty if there is none.
        pieces: the bytes as they arrive; ``None`` where only parsed JSON is known, or nothing.
    """

    __slots__ = ("_parsed", "cut", "head", "is_blank", "is_empty", "media_type", "pieces")

    def __init__(self, response: Response, headers: Mapping[str, str]) -> None:
        content_type = headers.get("content-type", "")
        if "/" not in content_type and is_placeholder(content_type):
            content_type = ""
        self.media_type = content_type.partition(";")[0].strip().lower()
        self.cut = response.cut
        self._parsed: JSON = None
        self.pieces: Iterable[bytes] | None = None
        self.head = b""
        self.is_empty = False
        body = response.body
        if isinstance(body, str):
            body = body.encode("utf-8", "surrogatepass")
        if isinstance(body, bytes):
            self.pieces = (body,)
            self.head = body[:_HEAD] if body[:1] > b" " else body.lstrip()[:_HEAD]
            self.is_empty = not body
        elif body is not None:
            self._parsed = body
        elif response.pieces is not None:
            self.pieces, self.head, self.is_empty = _peeked(response.pieces)
        else:
            self.is_empty = True
        self.is_blank = not self.head and self._parsed is None

    def read(self) -> JSON:
        """The whole body: bytes, or parsed JSON where its text is not known."""
        return self._parsed if self.pieces is None else b"".join(self.pieces)

    def is_stream(self, requested: bool) -> bool:
        """Whether to read the body as an event stream.

        Args:
            requested: the request asks for a stream.
        """
        if self.pieces is None or self.head[:1] in (b"{", b"["):
            return False
        if looks_like_sse(self.head):
            return True
        if self.head.removeprefix(BYTE_ORDER_MARK).lstrip()[:1] in (b"{", b"["):
            return False
        # Neither events nor JSON: the content type decides, or else the request.
        return self.media_type == "text/event-stream" or (not self.media_type and requested)

    def is_broken_stream(self) -> bool:
        """Whether a body that begins like JSON is an event stream whose first lines lack ``data:``.

        Reads the whole body: ask only where a stream is expected.
        """
        head = self.head.removeprefix(BYTE_ORDER_MARK).lstrip()
        if self.pieces is None or head[:1] not in (b"{", b"["):
            return False
        whole = self.read()
        self.pieces = (whole,)
        text = whole.removeprefix(BYTE_ORDER_MARK)
        try:
            loads_bytes(text)
        except ValueError:
            has_lines = len(text.splitlines()) > 1 and first_value(text) is not ABSENT
            return has_lines or b"data:" in text
        return False


def _peeked(pieces: Iterable[bytes]) -> tuple[Iterator[bytes], bytes, bool]:
    iterator = iter(pieces)
    first: list[bytes] = []
    size = 0
    for piece in iterator:
        first.append(piece)
        size += len(piece) if size else len(piece.lstrip())
        if size >= _HEAD or (size and b"\n" in piece):
            break
    return itertools.chain(first, iterator), b"".join(first).lstrip()[:_HEAD], not any(first)
