"""HTTP messages as text: a request or response with its head, as tools save them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from pytest_chatapi.contract.exchange import Exchange, Request, Response, Source, fold_headers
from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.errors import ReadError
from pytest_chatapi.reading.bodies import BodyProblem, plain_body
from pytest_chatapi.reading.format import RecordedFile

__all__ = [
    "NEXT_RESPONSE",
    "REQUEST_LINE",
    "STATUS_LINE",
    "exchanges_of_parts",
    "lacks_of",
    "request_of",
    "response_of",
    "responses_of",
]

REQUEST_LINE = re.compile(
    rb"(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS)[ \t]+((?:/|https?://|\{\{)[^\r\n]*?)"
    rb"(?:[ \t]+HTTP/[\d.]+)?[ \t]*(?:\r?\n|\Z)"
)
"""Method and target; an editor's file may leave out the version."""

_STATUS = rb"HTTP/(?:1\.[01]|2(?:\.0)?|3(?:\.0)?) (\d{3})(?: [^\r\n]*)?"
STATUS_LINE = re.compile(_STATUS + rb"(?:\r?\n|\Z)")

NEXT_RESPONSE = re.compile(_STATUS + rb"\r?\n(?=[!#$%&'*+.^_`|~\w-]+:|\r?\n|\Z)")
"""The beginning of a response anywhere in a text.

JSON and event streams have no line like this, since a line break in a text is escaped there.
"""

_HEAD_END = re.compile(rb"(?:\A|\r?\n)\r?\n")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")
_LOCAL = re.compile(r"(?:localhost|127\.|0\.0\.0\.0|\[::1\])")
_Part = TypeVar("_Part")


def exchanges_of_parts(
    file: RecordedFile, parts: Iterable[_Part], read: Callable[[_Part], Iterable[Exchange]]
) -> Iterator[Exchange]:
    """The exchanges of all parts of a file, numbered; a damaged part is reported and left out.

    Args:
        read: the exchanges of one part; raises `BodyProblem` where it is damaged.
    """
    index = 0
    for part in parts:
        try:
            exchanges = list(read(part))
        except BodyProblem as error:
            file.on_error(ReadError(file.name, f"interaction {index}", str(error)))
            index += 1
            continue
        for exchange in exchanges:
            exchange.source = Source(file.name, index)
            index += 1
            yield exchange


def _head_and_body(data: bytes) -> tuple[dict[str, str], bytes]:
    """The headers in a message after its first line, and what follows."""
    end = _HEAD_END.search(data)
    head, body = (data[: end.start()], data[end.end() :]) if end else (data, b"")
    pairs = []
    for line in head.decode("latin-1").split("\n"):
        name, colon, value = line.partition(":")
        if colon and name.strip() and line[:1] not in "#/ \t":
            pairs.append((name.strip(), value.strip()))
    return fold_headers(pairs), body


def request_of(data: bytes) -> Request:
    """The request in a text that begins with a `REQUEST_LINE`.

    Raises:
        BodyProblem: its body is damaged.
    """
    line = REQUEST_LINE.match(data)
    if line is None:
        raise BodyProblem("request: its first line is not METHOD TARGET HTTP/VERSION")
    headers, body = _head_and_body(data[line.end() :])
    method, target = line[1].decode(), line[2].decode("latin-1")
    host = headers.get("host", "")
    if target.startswith("/") and host:
        target = f"{'http' if _LOCAL.match(host) else 'https'}://{host}{target}"
    return Request(method, target, headers, _plain(body, headers, "request")[0])


def response_of(data: bytes) -> Response:
    """The response in a text that begins with a `STATUS_LINE`.

    Raises:
        BodyProblem: its body is damaged.
    """
    line = STATUS_LINE.match(data)
    if line is None:
        raise BodyProblem("response: its first line is not HTTP/VERSION STATUS")
    headers, raw = _head_and_body(data[line.end() :])
    body, complete = _plain(raw, headers, "response")
    return Response(int(line[1]), headers, body, cut=None if complete else "server")


def lacks_of(response: Response) -> str:
    """`Exchange.lacks` of a response whose head announces a body that was not saved with it."""
    if response.body is not None or response.cut or response.status in (204, 205, 304):
        return ""
    length = response.headers.get("content-length", "")
    is_announced = length.strip("0") if length else "content-type" in response.headers
    return "body not recorded" if is_announced else ""


def responses_of(data: bytes) -> list[Response]:
    """The responses in a text of one or several; those on the way to the last are left out.

    These are 1xx, redirects that were followed, a proxy's response to CONNECT, and whatever else
    has no body although another response follows.
    """
    starts = [match.start() for match in NEXT_RESPONSE.finditer(data)]
    if not starts or starts[0] != 0:
        starts.insert(0, 0)
    responses = [
        response_of(data[start:end])
        for start, end in zip(starts, [*starts[1:], len(data)], strict=True)
    ]
    return [
        response
        for number, response in enumerate(responses, 1)
        if number == len(responses)
        or (response.body is not None and not 300 <= response.status < 400)
    ]


def _plain(body: bytes, headers: dict[str, str], side: str) -> tuple[JSON, bool]:
    """A body without chunk sizes and compression, and whether its last chunk is there."""
    complete = True
    try:
        if "chunked" in headers.get("transfer-encoding", "").lower():
            body, complete = _unchunked(body)
        if not body.strip():
            return None, complete
        return plain_body(body, headers.get("content-encoding", "")), complete
    except BodyProblem as error:
        raise BodyProblem(f"{side}: {error}") from None


def _unchunked(body: bytes) -> tuple[bytes, bool]:
    """A body in chunks as one; as it is if it has no chunk sizes, as most tools save it."""
    if not _CHUNK_SIZE.match(body):
        return body, True
    chunks: list[bytes] = []
    at = 0
    while at < len(body):
        size = _CHUNK_SIZE.match(body, at)
        if size is None:
            if at == len(body.rstrip()):
                break
            raise BodyProblem(f"chunk {len(chunks)} does not end where its size says")
        length = int(size[1], 16)
        if not length:
            return b"".join(chunks), True
        chunks.append(body[size.end() : size.end() + length])
        at = size.end() + length
        at += 2 if body[at : at + 2] == b"\r\n" else 1 if body[at : at + 1] == b"\n" else 0
    return b"".join(chunks), False
