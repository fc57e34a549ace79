"""What curl prints: the head and body of responses (``-i``), or a dump of both sides (``-v``)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.reading.files import join
from pytest_chatapi.reading.format import RecordedFile, TextFormat, first_line
from pytest_chatapi.reading.raw_http import (
    REQUEST_LINE,
    STATUS_LINE,
    exchanges_of_parts,
    lacks_of,
    request_of,
    responses_of,
)

_DUMPED = re.compile(rb"(?m)^> [A-Z]+ \S+ HTTP/")
_META = re.compile(
    rb"(?:\* .*|[{}] \[\d+ bytes data\]|Note: .*|  % Total .*|"
    rb"\s*(?:Dload  Upload|\d+ +[\d.]+[kMG]? +\d+ ).*)\r?"
)
_CLOSING = re.compile(rb"\* (?:Connection #\d+ to host .* left intact|Closing connection.*)\r?\Z")


def _begins(text: bytes, complete: bool) -> bool | None:
    line = first_line(text, complete)
    if line is None:
        return None
    if STATUS_LINE.match(line):
        return True
    if not (line.startswith(b"> ") or _META.fullmatch(line)):
        return False
    return True if _DUMPED.search(text) else False if complete else None


def _exchanges(file: RecordedFile, blocks: Iterator[bytes]) -> Iterator[Exchange]:
    data = join(blocks, file.name, file.path).lstrip()
    parts = [(b"", data)] if STATUS_LINE.match(data) else _dumps(data)
    return exchanges_of_parts(file, parts, _of_dump)


_Dump = tuple[bytes, bytes]
"""The head of a request, and the response to it."""


def _of_dump(dump: _Dump) -> Iterator[Exchange]:
    sent, received = dump
    # What curl sent as a body is not in its output.
    request = request_of(sent) if REQUEST_LINE.match(sent) else None
    for response in responses_of(received):
        yield Exchange(request, response, lacks=lacks_of(response))


def _dumps(data: bytes) -> Iterator[_Dump]:
    """The head of each request in the output of ``curl -v``, and the response to it."""
    sent, received = bytearray(), bytearray()
    for line in data.split(b"\n"):
        if line.startswith(b"> ") or line.rstrip() == b">":
            if received:
                yield bytes(sent), bytes(received)
                sent, received = bytearray(), bytearray()
            sent += line[2:] + b"\n"
        elif line.startswith(b"< ") or line.rstrip() == b"<":
            received += line[2:] + b"\n"
        elif received and not _META.fullmatch(line):
            received += _CLOSING.sub(b"", line) + b"\n"
    if received:
        yield bytes(sent), bytes(received)


FORMAT = TextFormat(name="curl", precedence=42, begins=_begins, exchanges=_exchanges)
