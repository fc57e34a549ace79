"""One request and its response as they came over the wire.

Everything this package handles becomes an `Exchange`: live traffic, a cassette, a HAR
entry, a log line, a mock. Nothing is interpreted here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.contract.wording import mask, show
from pytest_chatapi.redaction.names import is_secret_header
from pytest_chatapi.redaction.replacing import REDACTED

__all__ = ["Exchange", "Request", "Response", "Source", "fold_headers"]


class _Folded(dict[str, str]):
    """Headers that have been folded."""


_NONE = _Folded()


def fold_headers(
    headers: Mapping[str, str | bytes | Iterable[str]] | Iterable[tuple[str, str]] | None,
) -> dict[str, str]:
    """Header names in lower case, values of the same name joined by ``", "`` (RFC 9110, 5.3)."""
    if type(headers) is _Folded:
        return headers
    if not headers:
        return _NONE
    if type(headers) is dict or type(headers) is list:
        # Fast path: usually lower-case strings without duplicates.
        folded = _Folded(headers)
        if len(folded) == len(headers) and _is_plain(folded):
            return folded
    folded = _Folded()
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        key, text = str(name).lower(), value if isinstance(value, str) else _header_text(value)
        folded[key] = f"{folded[key]}, {text}" if key in folded else text
    return folded


def _header_text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if value is None:
        return ""
    if isinstance(value, Iterable):
        return ", ".join(v.decode("latin-1") if isinstance(v, bytes) else str(v) for v in value)
    return str(value)


def _is_plain(headers: dict[str, str]) -> bool:
    try:
        names = "".join(headers)
        "".join(headers.values())
    except TypeError:
        return False
    return names.islower()


_SHOWN = 400
"""Characters of a body that `repr` shows."""


def _shown_headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name: REDACTED if is_secret_header(str(name).lower()) else mask(str(text))
        for name, text in headers.items()
    }


def _shown_pieces(pieces: Iterable[JSON]) -> str:
    """What has arrived; a stream that can be read only once is left alone."""
    if not isinstance(pieces, list | tuple):
        return f"<{type(pieces).__name__}>"
    if all(isinstance(piece, bytes) for piece in pieces):
        return show(b"".join(pieces), _SHOWN)
    return show(list(pieces), _SHOWN)


@dataclass(slots=True, repr=False)
class Request:
    """What was sent.

    Attributes:
        method: in upper case.
        url: as recorded; may be a path alone, or have a placeholder as its host.
        headers: names in lower case (see `fold_headers`).
        body: ``bytes`` or ``str`` as on the wire (decompressed), ``None`` where it is unknown;
            any other value is parsed JSON.
        partial: the body was put together from what a log has of it: tools that are not in it may
            have been sent all the same.
    """

    method: str = "POST"
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: JSON = None
    partial: bool = False

    def __repr__(self) -> str:
        """Without secrets: tracebacks and failed assertions print it."""
        return (
            f"Request({mask(f'{self.method} {self.url}')}, {_shown_headers(self.headers)}, "
            f"body={show(self.body, _SHOWN)})"
        )

    def json(self) -> JSON:
        """The body as JSON.

        Raises:
            ValueError: it is not JSON.
        """
        return json.loads(self.body) if isinstance(self.body, str | bytes) else self.body


@dataclass(slots=True, repr=False)
class Response:
    """What came back. Exactly one of `body`, `pieces` and `chunks` is used, in that order.

    Attributes:
        status: HTTP status code.
        headers: names in lower case (see `fold_headers`).
        body: ``bytes`` or ``str`` as on the wire (decompressed), ``None`` where nothing was
            recorded; any other value is parsed JSON whose text is lost.
        pieces: the body in the pieces in which it arrived (or is read from disk); read once
            for each check, never kept.
        chunks: the parsed chunks of a stream whose wire text is unknown, as an SDK returns
            them: framing, ``[DONE]`` and the end of the stream cannot be checked.
        cut: which side ended the connection before the body was complete; ``None`` if neither did.
        times: for each of `pieces`, its arrival in seconds after the request was sent.
        arrivals: of `body`, as our cassettes note sizes and times of its pieces; ``""`` without.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: JSON = None
    pieces: Iterable[bytes] | None = None
    chunks: Iterable[JSON] | None = None
    cut: Literal["server", "client"] | None = None
    times: Sequence[float] | None = None
    arrivals: str = ""

    def __repr__(self) -> str:
        """Without secrets, see `Request.__repr__`."""
        parts = [str(self.status), str(_shown_headers(self.headers))]
        if self.body is not None:
            parts.append(f"body={show(self.body, _SHOWN)}")
        elif self.pieces is not None:
            parts.append(f"pieces={_shown_pieces(self.pieces)}")
        elif self.chunks is not None:
            parts.append(f"chunks={_shown_pieces(self.chunks)}")
        if self.cut is not None:
            parts.append(f"cut={self.cut!r}")
        return f"Response({', '.join(parts)})"

    @property
    def content(self) -> bytes:
        """The whole body as bytes; parsed JSON is serialised."""
        if isinstance(self.body, str):
            return self.body.encode("utf-8", "surrogatepass")
        if self.body is None:
            return b"".join(self.pieces or ())
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()

    def json(self) -> JSON:
        """The body as JSON.

        Raises:
            ValueError: it is not JSON.
        """
        return json.loads(self.content)


@dataclass(frozen=True, slots=True)
class Source:
    """Where an exchange was read from.

    Attributes:
        file: as it was named.
        index: of the exchange in it, from 0; in JSON Lines, of its line.
        line: of the exchange, or of what a finding is about, from 1; 0 where it is not known.
    """

    file: str
    index: int
    line: int = field(default=0, compare=False)


@dataclass(slots=True)
class Exchange:
    """A request with its response. Either may be unknown (``None``), never both.

    Attributes:
        source: where it was read from.
        assembled: a log wrote it from what a client library returned, so headers, framing, the
            course of a stream and the wire form of an error were never in it.
        live: it has just been sent to a server, and is not one of a recording.
        lacks: why there is nothing to check, where the recording says that much: ``body not
            recorded``, ``fault``, ``not HTTP``, or ``unanswered`` with the reason; else empty.
        sent_from: ``FILE:LINE`` of the user's code that sent it in this process; else empty.
        fault: the fault that was injected into the response, as text; empty without one.
        row: the parsed row, entry or interaction that it was read from, where it has one: what else
            a log knows of it (when, by which provider) is in there.
    """

    request: Request | None = None
    response: Response | None = None
    source: Source | None = None
    assembled: bool = False
    live: bool = False
    lacks: str = ""
    sent_from: str = field(default="", compare=False)
    fault: str = field(default="", compare=False)
    row: JSON = field(default=None, compare=False, repr=False)

    @property
    def is_unasked(self) -> bool:
        """Whether a log has a response without its request, or with one that is not understood."""
        has_request = self.request is not None and self.request.body is not None
        return self.assembled and self.response is not None and not has_request
