"""One recorded request with its response: from and to the form in which cassettes hold it.

The form is vcrpy's. What it has no place for stands under `OURS` inside the response, which
vcrpy and cassetter keep and ignore:

    chatapi:
      recorded_at: '2026-11-25T10:45:00.123Z'
      pieces: 316@12.5 320@14.1       bytes@milliseconds since the request was sent
      cut: server                     who ended the connection early, if somebody did
      error: RemoteProtocolError      what the client's own family raised then
      tail: 8J8=                      base64: bytes of a character that was cut
      test: tests/test_a.py::test_b   who recorded it, in a cassette that tests share
      phase: teardown                 it was sent after the test, by its fixtures
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.contract.parse import loads
from pytest_chatapi.reading.parts import header_pairs
from pytest_chatapi.reading.registry import exchange_of
from pytest_chatapi.redaction.redactor import Redactor

__all__ = ["OURS", "Interaction", "from_parts", "interaction_of", "plain_form", "redacted"]

OURS = "chatapi"

# What described the body on the wire and is wrong for the one that is kept.
_OF_THE_WIRE = {"content-encoding", "content-length", "transfer-encoding", "connection"}
_PIECE = re.compile(r"(\d+)@(\d+(?:\.\d+)?)")
_EVENT_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")


@dataclass(slots=True)
class Interaction:
    """A recorded exchange.

    Attributes:
        request: with the body as text or parsed JSON.
        status: 0 where no response came at all; never recorded.
        headers: of the response, in order, a name as often as it came.
        pieces: the response body, decompressed, in the pieces in which it arrived.
        times: seconds from the sending of the request to the arrival of each piece; ``None``
            where nobody recorded them.
        cut: who ended the connection before the body was complete.
        error: name of the exception that the client's HTTP library raised then, or ``""``.
        recorded_at: UTC, as ISO 8601; ``""`` where unknown.
        test: the test that recorded it; only in a cassette that has no test of its own.
        own: whether this package recorded it.
        phase: ``teardown`` for what was sent when the test was over, else ``""``.
        stalls: it is about `times`, which hold at any replay speed; never recorded.
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


def interaction_of(value: dict[str, Any]) -> Interaction:
    """Out of any form that `readers` knows, the body split as it arrived.

    Raises:
        ValueError: in one line, why it is no interaction.
    """
    part = value.get("response")
    body = None
    if isinstance(part, dict) and isinstance(part.get(OURS), dict):
        # Ours is kept decompressed; what looks compressed came damaged, and is to go so again.
        body = _kept(part.get("body"))
        if body is not None:
            value = {**value, "response": {**part, "body": None}}
    exchange = exchange_of(value)
    request, response = exchange.request, exchange.response
    if request is None or response is None:
        missing = "request" if request is None else "response"
        raise ValueError(f"holds no {missing}, so it cannot be replayed")
    part = value["response"]
    ours = part.get(OURS)
    status = part.get("status")
    made = from_parts(
        request,
        response.status,
        str(status.get("message") or "") if isinstance(status, dict) else "",
        header_pairs(part.get("headers")),
        response.content if body is None else body,
        ours if isinstance(ours, dict) else {},
    )
    made.own, made.cut = isinstance(ours, dict), response.cut
    made.recorded_at = made.recorded_at or _text(value, "recorded_at")
    return made


def from_parts(
    request: Request,
    status: int,
    reason: str,
    headers: Iterable[tuple[str, str]],
    body: bytes,
    notes: dict[str, Any],
) -> Interaction:
    """Out of what stands in a cassette, the body split as it arrived.

    Args:
        notes: what stands under `OURS`.
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
            if request.method == "HEAD" or name.lower() not in _OF_THE_WIRE
        ],
        pieces,
        times,
        cut if cut in ("server", "client") else None,
        _text(notes, "error"),
        _text(notes, "recorded_at"),
        _text(notes, "test"),
        phase=_text(notes, "phase"),
    )


def _kept(body: Any) -> bytes | None:
    text = body.get("string") if isinstance(body, dict) else None
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text


def _text(values: dict[str, Any], name: str) -> str:
    value = values.get(name)
    return value if isinstance(value, str) else ""


def _pieces(body: bytes, text: Any) -> tuple[list[bytes], list[float] | None]:
    """The body in its recorded pieces; one a piece for each event where they are not known.

    Sizes that do not add up are those of a body that was edited since.
    """
    found = _PIECE.findall(text) if isinstance(text, str) else []
    sizes = [int(size) for size, _ in found]
    if found and sum(sizes) == len(body):
        return _cut_up(body, sizes), [float(time) / 1000 for _, time in found]
    if body[:5] == b"data:" or body[:6] == b"event:" or body[:1] == b":":
        ends = [match.end() for match in _EVENT_END.finditer(body)]
        starts = [0, *ends]
        parts = [body[a:b] for a, b in zip(starts, [*ends, len(body)], strict=True)]
        return [part for part in parts if part], None
    return ([body] if body else []), None


def _cut_up(body: bytes, sizes: Iterable[int]) -> list[bytes]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(body[at : at + size])
        at += size
    return pieces


def redacted(interaction: Interaction, redactor: Redactor) -> Interaction:
    """As it may go to disk: no secret in it, the body in as many pieces as before."""
    request = interaction.request
    cuts, size = [], 0
    for piece in interaction.pieces:
        size += len(piece)
        cuts.append(size)
    content_type = next((v for n, v in interaction.headers if n.lower() == "content-type"), "")
    body, ends = redactor.body_and_cuts(b"".join(interaction.pieces), cuts, content_type)
    sizes = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    sent = request.body if isinstance(request.body, bytes) else str(request.body or "").encode()
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
            if name not in _OF_THE_WIRE
        ]
        + (_length(interaction) if request.method == "HEAD" else []),
        _cut_up(body, sizes),
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
    # The answer to HEAD has no body that it could be wrong for.
    return [(name, text) for name, text in interaction.headers if name == "content-length"]


def plain_form(interaction: Interaction) -> dict[str, Any]:
    """What a serializer writes: names, texts and numbers; ``bytes`` where a body is no text."""
    request = interaction.request
    body = b"".join(interaction.pieces)
    ours: dict[str, Any] = {"recorded_at": interaction.recorded_at}
    if interaction.test:
        ours["test"] = interaction.test
    if interaction.phase:
        ours["phase"] = interaction.phase
    if interaction.pieces:
        times = interaction.times or [0.0] * len(interaction.pieces)
        ours["pieces"] = " ".join(
            f"{len(piece)}@{time * 1000:.1f}"
            for piece, time in zip(interaction.pieces, times, strict=True)
        )
    if interaction.cut:
        ours["cut"] = interaction.cut
    if interaction.error:
        ours["error"] = interaction.error
    text: str | bytes = body
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        if (
            interaction.cut
            and len(body) - error.start < 4
            and error.reason.startswith("unexpected")
        ):
            text = body[: error.start].decode()
            ours["tail"] = base64.b64encode(body[error.start :]).decode()
    return {
        "request": {
            "method": request.method,
            "uri": request.url,
            "headers": _listed(interaction.request_headers),
            "body": _readable(request.body),
        },
        "response": {
            "status": {"code": interaction.status, "message": interaction.reason},
            "headers": _listed(interaction.headers),
            "body": {"string": text},
            OURS: ours,
        },
    }


def _listed(headers: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    listed: dict[str, list[str]] = {}
    for name, text in headers:
        listed.setdefault(name, []).append(text)
    return listed


def _readable(body: Any) -> str | bytes | None:
    """JSON with a line for each member; whatever would not survive that stays as it is."""
    if not body:
        return None
    try:
        text = body.decode() if isinstance(body, bytes) else str(body)
    except UnicodeDecodeError:
        return body if isinstance(body, bytes) else None
    if text[:1] in "{[":
        try:
            return json.dumps(loads(text), indent=2, ensure_ascii=False)
        except (ValueError, RecursionError):
            pass  # a key twice, NaN or a cut body: as it was sent
    return text
