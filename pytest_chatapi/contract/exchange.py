"""One request and its response as they came over the wire.

Everything this package handles becomes an `Exchange`: live traffic, a cassette, a HAR
entry, a log line, a mock. Nothing is interpreted here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Exchange", "Request", "Response", "Source", "fold_headers"]


class _Folded(dict[str, str]):
    """Headers that are folded already."""


_NONE = _Folded()


def fold_headers(
    headers: Mapping[str, str | bytes | Iterable[str]] | Iterable[tuple[str, str]] | None,
) -> dict[str, str]:
    """Header names in lower case, several values of one name joined by ``", "`` (RFC 9110, 5.3)."""
    if type(headers) is _Folded:
        return headers
    if not headers:
        return _NONE
    if type(headers) is list:
        # Nearly always lower case, text and without repeats: then there is nothing to fold.
        folded = _Folded(headers)
        if len(folded) == len(headers) and _is_plain(folded):
            return folded
    folded = _Folded()
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        if isinstance(value, bytes):
            text = value.decode("latin-1")
        elif isinstance(value, str):
            text = value
        elif value is None:
            text = ""
        elif isinstance(value, Iterable):
            text = ", ".join(v.decode("latin-1") if isinstance(v, bytes) else str(v) for v in value)
        else:
            text = str(value)
        key = str(name).lower()
        folded[key] = f"{folded[key]}, {text}" if key in folded else text
    return folded


def _is_plain(folded: dict[str, Any]) -> bool:
    try:
        names = "".join(folded)
        "".join(folded.values())
    except TypeError:
        return False
    return names.islower()


@dataclass(slots=True)
class Request:
    """What was sent.

    Attributes:
        method: in upper case.
        url: as recorded; a path alone or a placeholder host is fine.
        headers: names in lower case (see `fold_headers`).
        body: ``bytes`` or ``str`` as on the wire (decompressed), any other value is parsed
            JSON, ``None`` means that no body is known.
    """

    method: str = "POST"
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ValueError: it is none.
        """
        return json.loads(self.body) if isinstance(self.body, str | bytes) else self.body


@dataclass(slots=True)
class Response:
    """What came back. Exactly one of `body`, `pieces` and `chunks` is used, in that order.

    Attributes:
        status: HTTP status code.
        headers: names in lower case (see `fold_headers`).
        body: ``bytes`` or ``str`` as on the wire (decompressed), any other value is parsed
            JSON whose text is lost, ``None`` means that nothing was recorded.
        pieces: the body in the pieces in which it arrived (or is read from disk); read once
            for each check, never kept.
        chunks: the parsed chunks of a stream whose wire text is not at hand, as an SDK gives
            them: framing, ``[DONE]`` and the end of the stream cannot be judged.
        cut: who ended the connection before the body was complete; ``None`` when nobody did.
        times: for each of `pieces`, seconds from the sending of the request to its arrival.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    pieces: Iterable[bytes] | None = None
    chunks: Iterable[Any] | None = None
    cut: Literal["server", "client"] | None = None
    times: Sequence[float] | None = None

    @property
    def content(self) -> bytes:
        """The whole body as bytes, as far as its text is at hand."""
        if isinstance(self.body, str):
            return self.body.encode("utf-8", "surrogatepass")
        if self.body is None:
            return b"".join(self.pieces or ())
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ValueError: it is none.
        """
        return json.loads(self.content)


@dataclass(frozen=True, slots=True)
class Source:
    """Where an exchange was read from: the file, and its index there, counted from 0."""

    file: str
    index: int


@dataclass(slots=True)
class Exchange:
    """A request with its response. Either may be unknown (``None``), never both."""

    request: Request | None = None
    response: Response | None = None
    source: Source | None = None
