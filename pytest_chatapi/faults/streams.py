"""Faults that damage a good response on its way: cut, stalled, ended early, empty, garbled."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.faults.body import Body, Event, dump
from pytest_chatapi.faults.fault import stream
from pytest_chatapi.recording.interaction import Interaction

__all__ = [
    "cut",
    "cut_mid_character",
    "cut_mid_json",
    "empty_body",
    "ends_early",
    "error_body_200",
    "error_chunk",
    "error_event",
    "error_field",
    "gzip_cut",
    "gzip_header_lies",
    "ok",
    "stall",
]


@stream(kind="none", retried=False, sdk={})
def ok(body: Body, /) -> None:
    """The response arrives unchanged."""


_CUT = {
    "whole": "APIConnectionError after 3 tries",
    "stream": "APIConnectionError in mid-stream",
    "stream 2": "httpx.RemoteProtocolError in mid-stream",
}


def _cut(response: Interaction, size: int) -> Interaction:
    """Return the first `size` bytes; then the connection ends."""
    pieces: list[bytes] = []
    for piece in response.pieces:
        if size > 0:
            pieces.append(piece[:size])
            size -= len(piece)
    times = response.times and response.times[: len(pieces)]
    return replace(response, pieces=pieces, times=times, cut="server", error="RemoteProtocolError")


def _after_chunk(events: Sequence[Event], chunks: int) -> int | None:
    """Return the index after this many chunks, or ``None`` if no chunk follows there."""
    ends = list(accumulate(int(event.value is not None) for event in events))
    if chunks == 0:
        return 0 if ends and ends[-1] else None
    return ends.index(chunks) + 1 if chunks in ends[:-1] else None


@stream(sdk=_CUT, finds="T17: error", samples=({}, {"bytes": 400}))
def cut(
    body: Body, /, *, chunks: int | None = None, bytes: int | None = None
) -> Interaction | None:
    """The connection ends after `chunks` or `bytes`, whichever comes first.

    By default after the first chunk of a stream, and in the middle of any other response.
    """
    if chunks is None and bytes is None and body.document is not None:
        bytes = len(body.data) // 2
    size = None if bytes is None or bytes >= len(body.data) else bytes
    if chunks is not None or bytes is None:
        at = _after_chunk(body.events, 1 if chunks is None else chunks)
        if at is not None:
            before = sum(len(event.raw) for event in body.events[:at])
            size = before if size is None else min(size, before)
    return None if size is None else _cut(body.plain, size)


@stream(sdk=_CUT, finds="T17: error")
def cut_mid_character(body: Body, /) -> Interaction | None:
    """The connection ends inside a multi-byte character, which is inserted if there is none."""
    at = next((at for at, byte in enumerate(body.data) if byte > 0x7F), None)
    if at is not None:
        return _cut(body.plain, at + 1)
    texts = [(message, "content") for message in body.messages()]
    texts += [(call.value["function"], "arguments") for call in body.calls()]
    for holder, name in texts:
        if isinstance(holder.get(name), str) and holder[name]:
            holder[name] += "é"
            written = body.written()
            return _cut(written, b"".join(written.pieces).index("é".encode()) + 1)
    return None


@stream(sdk=_CUT, finds="T17: error")
def cut_mid_json(body: Body, /) -> Interaction | None:
    """The connection ends inside the JSON of the response, or of the second event of a stream."""
    if body.document is not None:
        return _cut(body.plain, len(body.data) // 2)
    at = _after_chunk(body.events, 1)
    if at is None:
        return None
    while body.events[at].value is None and at < len(body.events) - 1:
        at += 1
    before = sum(len(event.raw) for event in body.events[:at])
    return _cut(body.plain, before + len(body.events[at].raw) // 2)


@stream(
    sdk={"stream": "`finish_reason` is None, `content` is 'Hello'"},
    finds={"stream": "T05 T08: error"},
)
def ends_early(body: Body, /, *, chunks: int = 2) -> Interaction | None:
    """The stream ends normally after `chunks`, without `finish_reason` and `[DONE]`."""
    at = _after_chunk(body.events, chunks)
    finished = body.find(lambda choice: choice.get("finish_reason"))
    if at is None or (finished is not None and finished < at):
        return None
    del body.events[at:]
    return body.written()


@stream(
    sdk={
        "whole": "late; with a shorter timeout, APITimeoutError after 3 tries",
        "stream": "late; with a shorter timeout, APITimeoutError in mid-stream",
        "stream 2": "late; with a shorter timeout, httpx.ReadTimeout in mid-stream",
    },
    finds="",
    retried=False,
)
def stall(body: Body, /, *, seconds: float = 60.0, chunks: int = 1) -> Interaction | None:
    """Nothing arrives for `seconds`, after `chunks` or before an unstreamed response."""
    at = _after_chunk(body.events, chunks) if body.streamed else 0
    if at is None:
        return None
    written = body.written()
    waits = [0.0] * at + [seconds] * (len(written.pieces) - at)
    return replace(written, times=waits, stalls=True)


@stream(
    sdk={"whole": "json.JSONDecodeError after 1 try", "stream": "AssertionError in `stream()`"},
    finds={"whole": "S16: note", "stream": "T18: error"},
)
def empty_body(body: Body, /) -> Interaction:
    """200 with the usual headers and an empty body."""
    return body.arriving([], [])


@stream(
    sdk={
        "whole": "json.JSONDecodeError after 1 try",
        "stream": "`finish_reason` is None, `content` is 'Hello'",
    }
)
def gzip_cut(body: Body, /) -> Interaction | None:
    """The body is compressed with gzip, and ends in the middle of the compressed data."""
    events = [event.raw for event in body.events] or [body.data]
    zipper = zlib.compressobj(wbits=31)
    pieces = [zipper.compress(event) + zipper.flush(zlib.Z_SYNC_FLUSH) for event in events]
    del pieces[(len(pieces) + 1) // 2 :]
    pieces[-1] = pieces[-1][: len(pieces[-1]) // 2]
    body.headers.append(("content-encoding", "gzip"))
    times = [event.time for event in body.events] or body.times[-1:]
    return body.arriving(pieces, times[: len(pieces)])


@stream(
    sdk={
        "whole": "APIConnectionError after 3 tries",
        "stream": "APIConnectionError instead of a chunk",
        "stream 2": "httpx.DecodingError instead of a chunk",
    },
    finds="",
)
def gzip_header_lies(body: Body, /) -> Interaction:
    """`Content-Encoding: gzip` on a body that is not compressed."""
    body.headers.append(("content-encoding", "gzip"))
    return body.plain


# -- an error under a 200 ------------------------------------------------------------------

_ERROR = {
    "message": "The server had an error while processing your request. Sorry about that!",
    "type": "server_error",
    "param": None,
    "code": None,
}


def _failing(body: Body, raw: bytes) -> Interaction | None:
    """Return the stream up to its middle; then `raw` comes, and nothing else."""
    if not body.chunks:
        return None
    at = _after_chunk(body.events, max(1, len(body.chunks) // 2)) or body.end
    del body.events[at:]
    body.events.append(Event(raw, body.events[-1].time))
    return body.written()


@stream(sdk={"stream": "APIError in mid-stream"}, finds={"stream": "T10: error"})
def error_event(body: Body, /) -> Interaction | None:
    """`event: error` in mid-stream; then the stream ends (Groq)."""
    return _failing(body, b"event: error\ndata: " + dump({"error": _ERROR}) + b"\n\n")


@stream(
    sdk={"stream": "`finish_reason` is None, `content` is 'Hello'"},
    finds={"stream": "T10: error"},
)
def error_field(body: Body, /) -> Interaction | None:
    """A line `error: {...}` in mid-stream, which is not an SSE field; then the stream ends."""
    return _failing(body, b"error: " + dump(_ERROR) + b"\n\n")


@stream(sdk={"stream": "APIError in mid-stream"}, finds={"stream": "T10: error"})
def error_chunk(body: Body, /) -> Interaction | None:
    """A chunk with `error` in mid-stream; then the stream ends (OpenRouter)."""
    if not body.chunks:
        return None
    choice: JSONObject = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
    error = {"code": 502, "message": "Provider returned error"}
    chunk = {**body.frame(), "error": error, "choices": [choice]}
    return _failing(body, b"data: " + dump(chunk) + b"\n\n")


@stream(
    sdk={
        "whole": "`id` is None, `choices` is None and 7 more",
        "stream": "AssertionError in `stream()`",
    },
    finds="X03: error",
)
def error_body_200(body: Body, /) -> Interaction:
    """200 with an error body."""
    body.headers = [(n, v) for n, v in body.headers if n.lower() != "content-type"]
    body.headers.append(("content-type", "application/json"))
    return body.arriving([dump({"error": _ERROR}, 2)], body.times[:1])
