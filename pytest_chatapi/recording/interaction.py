"""One recorded exchange: from and to the form in which cassettes hold it.

The form is vcrpy's. What it has no place for goes under `OURS` inside the response, where vcrpy
and cassetter keep it and ignore it:

    chatapi:
      recorded_at: '2026-11-25T10:45:00.123Z'
      pieces: 316@12.5 320@14.1       bytes@milliseconds since the request was sent
      cut: server                     which side ended it early; left out where it was complete
      error: RemoteProtocolError      the exception of httpx or httpx2 that the client got then
      tail: 8J8=                      base64: the bytes of a character that was cut
      test: tests/test_a.py::test_b   the test that recorded it, in a cassette that tests share
      phase: teardown                 sent after the test, by its fixtures
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pytest_chatapi.contract.exchange import Exchange, Request, Response, fold_headers
from pytest_chatapi.contract.parse import loads
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.reading.arrivals import arrivals_of, split
from pytest_chatapi.reading.formats.exchange import FORMAT as request_and_response
from pytest_chatapi.reading.parts import header_pairs
from pytest_chatapi.reading.registry import exchange_of
from pytest_chatapi.redaction.names import WIRE_HEADERS
from pytest_chatapi.redaction.redactor import Redactor

__all__ = [
    "OURS",
    "Interaction",
    "exchange_in",
    "from_parts",
    "grouped",
    "interaction_of",
    "plain_form",
    "redacted",
]

OURS = "chatapi"

# These describe the body on the wire and are wrong for the decompressed one that is kept.
_NOT_KEPT = WIRE_HEADERS | {"connection"}
_EVENT_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")


@dataclass(slots=True, repr=False)
class Interaction:
    """A recorded exchange.

    Attributes:
        request: with the body as text or parsed JSON.
        status: 0 where no response came at all; never recorded.
        headers: of the response, in order; a name is repeated as often as it came.
        pieces: the response body, decompressed, in the pieces in which it arrived.
        times: seconds from the sending of the request to the arrival of each piece; ``None``
            where they were not recorded.
        cut: which side ended the connection before the body was complete.
        error: name of the exception that the client's HTTP library raised then, or ``""``.
        recorded_at: UTC, as ISO 8601; ``""`` where unknown.
        test: the test that recorded it; only in a cassette that several tests share.
        own: whether this package recorded it.
        phase: ``teardown`` for what was sent when the test was over, else ``""``.
        request_headers: in order; a name is repeated as often as it was sent.
        stalls: `times` are kept at any replay speed; never recorded.
    """

    request: Request
    status: int = 200
    reason: str = ""
    headers: Sequence[tuple[str, str]] = ()
    pieces: Sequence[bytes] = ()
    times: Sequence[float] | None = None
    cut: Literal["server", "client"] | None = None
    error: str = ""
    recorded_at: str = ""
    test: str = ""
    own: bool = True
    phase: str = ""
    request_headers: Sequence[tuple[str, str]] = field(default_factory=list)
    stalls: bool = False

    def __repr__(self) -> str:
        """Without secrets, as the exchange that it is."""
        response = Response(
            self.status, fold_headers(list(self.headers)), pieces=list(self.pieces), cut=self.cut
        )
        return f"Interaction({self.request!r}, {response!r})"


def exchange_in(value: JSON) -> Exchange:
    """The exchange in an interaction of a cassette, as `exchange_of` reads it.

    Nearly all are a request and a response, and asking each format would take longer than reading.
    """
    is_plain = isinstance(value, dict) and isinstance(value.get("request"), dict)
    return exchange_of(value, document_format=request_and_response if is_plain else None)


def interaction_of(value: JSONObject) -> Interaction:
    """The interaction in any form that `reading` knows, its body split as it arrived.

    Raises:
        ValueError: it is not an interaction; in one line, why not.
    """
    part = value.get("response")
    body = None
    if isinstance(part, dict) and isinstance(part.get(OURS), dict):
        # Our bodies are kept decompressed: one that looks compressed came damaged, and is
        # replayed damaged.
        body = _body(part.get("body"))
        if body is not None:
            value = {**value, "response": {**part, "body": None}}
    exchange = exchange_in(value)
    request, response = exchange.request, exchange.response
    if request is None or response is None:
        missing = "request" if request is None else "response"
        raise ValueError(f"has no {missing}, so it cannot be replayed")
    part = value["response"]
    ours = part.get(OURS)
    status = part.get("status")
    interaction = from_parts(
        request,
        response.status,
        str(status.get("message") or "") if isinstance(status, dict) else "",
        header_pairs(part.get("headers")),
        response.content if body is None else body,
        ours if isinstance(ours, dict) else {},
    )
    interaction.own, interaction.cut = isinstance(ours, dict), response.cut
    interaction.recorded_at = interaction.recorded_at or _text(value, "recorded_at")
    return interaction


def from_parts(
    request: Request,
    status: int,
    reason: str,
    headers: Iterable[tuple[str, str]],
    body: bytes,
    notes: JSONObject,
) -> Interaction:
    """The interaction with these parts of a cassette, its body split as it arrived.

    Args:
        notes: what the cassette has under `OURS`.
    """
    if isinstance(notes.get("tail"), str):
        body += base64.b64decode(notes["tail"])
    pieces, times = _pieces(body, notes.get("pieces"))
    cut = notes.get("cut")
    return Interaction(
        request,
        status,
        reason,
        [
            (name, text)
            for name, text in headers
            if request.method == "HEAD" or name.lower() not in _NOT_KEPT
        ],
        pieces,
        times,
        cut if cut in ("server", "client") else None,
        _text(notes, "error"),
        _text(notes, "recorded_at"),
        _text(notes, "test"),
        phase=_text(notes, "phase"),
    )


def _body(body: JSON) -> bytes | None:
    text = body.get("string") if isinstance(body, dict) else None
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text


def _text(values: JSONObject, name: str) -> str:
    value = values.get(name)
    return value if isinstance(value, str) else ""


def _pieces(body: bytes, note: JSON) -> tuple[list[bytes], list[float] | None]:
    """The body in its recorded pieces; one for each event where they are not known."""
    if known := arrivals_of(body, note):
        return known
    if body[:5] == b"data:" or body[:6] == b"event:" or body[:1] == b":":
        ends = [match.end() for match in _EVENT_END.finditer(body)]
        starts = [0, *ends]
        parts = [body[a:b] for a, b in zip(starts, [*ends, len(body)], strict=True)]
        return [part for part in parts if part], None
    return ([body] if body else []), None


def redacted(interaction: Interaction, redactor: Redactor) -> Interaction:
    """The interaction as it may go to disk: without secrets, the body in as many pieces."""
    request = interaction.request
    cuts, size = [], 0
    for piece in interaction.pieces:
        size += len(piece)
        cuts.append(size)
    content_type = next((v for n, v in interaction.headers if n.lower() == "content-type"), "")
    body, ends = redactor.body_and_cuts(b"".join(interaction.pieces), cuts, content_type)
    sizes = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    sent = request.body
    if not isinstance(sent, bytes):
        sent = str(sent or "").encode("utf-8", "surrogatepass")
    return Interaction(
        Request(
            request.method,
            redactor.url(request.url),
            request.headers,
            redactor.body(sent, request.headers.get("content-type", "")),
        ),
        interaction.status,
        redactor.text(interaction.reason),
        [
            (name, text)
            for name, text in redactor.headers(interaction.headers, response=True)
            if name not in _NOT_KEPT
        ]
        + (_length(interaction) if request.method == "HEAD" else []),
        split(body, sizes),
        interaction.times,
        interaction.cut,
        interaction.error,
        interaction.recorded_at,
        interaction.test,
        True,
        interaction.phase,
        redactor.headers(interaction.request_headers, response=False),
    )


def _length(interaction: Interaction) -> list[tuple[str, str]]:
    # Kept in a response to HEAD, which has no body that it could be wrong for.
    return [(name, text) for name, text in interaction.headers if name == "content-length"]


def plain_form(interaction: Interaction) -> JSONObject:
    """What a serializer writes: names, texts and numbers; ``bytes`` where a body is not text."""
    request = interaction.request
    body = b"".join(interaction.pieces)
    text, tail = _text_and_tail(body, is_cut=bool(interaction.cut))
    return {
        "request": {
            "method": request.method,
            "uri": request.url,
            "headers": grouped(interaction.request_headers),
            "body": _readable(request.body),
        },
        "response": {
            "status": {"code": interaction.status, "message": interaction.reason},
            "headers": grouped(interaction.headers),
            "body": {"string": text},
            OURS: _notes(interaction, tail),
        },
    }


def _text_and_tail(body: bytes, *, is_cut: bool) -> tuple[str | bytes, bytes]:
    """The text, and the bytes of a character in which the body was cut."""
    try:
        return body.decode(), b""
    except UnicodeDecodeError as error:
        if is_cut and len(body) - error.start < 4 and error.reason.startswith("unexpected"):
            return body[: error.start].decode(), body[error.start :]
        return body, b""


def _notes(interaction: Interaction, tail: bytes) -> dict[str, str]:
    """What goes under `OURS`; what is empty is left out."""
    times = interaction.times or [0.0] * len(interaction.pieces)
    arrivals = [
        f"{len(piece)}@{time * 1000:.1f}"
        for piece, time in zip(interaction.pieces, times, strict=True)
    ]
    notes = {
        "test": interaction.test,
        "phase": interaction.phase,
        "pieces": " ".join(arrivals),
        "cut": interaction.cut or "",
        "error": interaction.error,
        "tail": base64.b64encode(tail).decode(),
    }
    return {
        "recorded_at": interaction.recorded_at,
        **{name: text for name, text in notes.items() if text},
    }


def grouped(headers: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Headers in vcrpy's form: the values of each name in a list."""
    groups: dict[str, list[str]] = {}
    for name, text in headers:
        groups.setdefault(name, []).append(text)
    return groups


def _readable(body: object) -> str | bytes | None:
    """JSON with a line for each member; anything that would change by that stays as it is."""
    if not body:
        return None
    try:
        text = body.decode() if isinstance(body, bytes) else str(body)
    except UnicodeDecodeError:
        return body if isinstance(body, bytes) else None
    if text[:1] in "{[":
        try:
            readable = json.dumps(loads(text), indent=2, ensure_ascii=False)
            readable.encode()
            return readable
        except (ValueError, RecursionError):
            pass  # a duplicate key, NaN, half a surrogate pair, a cut body: kept as it was sent
    return text
