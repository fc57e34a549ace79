"""Files of HTTP clients in editors (``.http``, ``.rest``): a request, and its response if saved.

Requests are separated by lines that begin with ``###``. A conversation as text (of HTTPie, or a TCP
stream that Wireshark saved) is read too: there the next request follows at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from pytest_chatapi.contract.endpoint import find_endpoint
from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.reading.bodies import BodyProblem
from pytest_chatapi.reading.files import join
from pytest_chatapi.reading.format import RecordedFile, TextFormat
from pytest_chatapi.reading.json_text import JSONProblem, loads
from pytest_chatapi.reading.raw_http import (
    NEXT_RESPONSE,
    REQUEST_LINE,
    STATUS_LINE,
    exchanges_of_parts,
    lacks_of,
    request_of,
    responses_of,
)

_SEPARATOR = re.compile(rb"(?m)^###.*$")
_PREAMBLE = re.compile(rb"(?:[ \t]*(?:(?:#|//|@)[^\n]*)?\r?\n|< \{%.*?%\}[ \t]*\r?\n)*", re.DOTALL)
_SCRIPT = re.compile(rb"(?ms)^[<>] \{%.*?%\}[ \t]*$|^(?:<>|>>!?|>) [^\r\n]*$")
_FROM_FILE = re.compile(rb"\A\s*<@?\S* +(\S[^\r\n]*)\s*\Z")
_VARIABLE = re.compile(rb"(?m)^@([\w.-]+)[ \t]*=[ \t]*([^\r\n]*?)[ \t]*\r?$")
_USE = re.compile(rb"\{\{([^{}\r\n]+)\}\}")
# JSON and event streams have no line like this, since a line break in a text is escaped there.
_NEXT_REQUEST = re.compile(
    rb"(?:GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) (?:/|https?://)\S* HTTP/[\d.]+\r?\n(?=[\w-]+:)"
)


def _begins(text: bytes, complete: bool) -> bool | None:
    preamble = _PREAMBLE.match(text)
    rest = text[preamble.end() if preamble else 0 :]
    if not complete and b"\n" not in rest:
        return None
    return REQUEST_LINE.match(rest) is not None


def _exchanges(file: RecordedFile, blocks: Iterator[bytes]) -> Iterator[Exchange]:
    data = join(blocks, file.name, file.path)
    variables = {match[1]: match[2] for match in _VARIABLE.finditer(data)}
    return exchanges_of_parts(file, _texts(data), partial(_of_block, variables))


def _texts(data: bytes) -> Iterator[bytes]:
    """The text of each request, with its response, which may be behind a separator of its own."""
    waiting = b""
    for block in _SEPARATOR.split(data):
        preamble = _PREAMBLE.match(block)
        text = block[preamble.end() if preamble else 0 :]
        if waiting and STATUS_LINE.match(text):
            waiting += text
        elif REQUEST_LINE.match(text):
            if waiting:
                yield waiting
            starts = [match.start() for match in _NEXT_REQUEST.finditer(text, 1)]
            *texts, waiting = (
                text[start:end]
                for start, end in zip([0, *starts], [*starts, len(text)], strict=True)
            )
            yield from texts
    if waiting:
        yield waiting


def _of_block(variables: dict[bytes, bytes], text: bytes) -> Iterator[Exchange]:
    found = NEXT_RESPONSE.search(text)
    sent, received = (text[: found.start()], text[found.start() :]) if found else (text, b"")
    for _ in range(5):  # a variable may be made of others
        sent = _USE.sub(lambda use: variables.get(use[1].strip(), use[0]), sent)
    request = request_of(_SCRIPT.sub(b"", sent))
    request.body = _known(request.body)
    if found is None:
        if request.body is None and request.method == "POST" and find_endpoint(Exchange(request)):
            raise BodyProblem("request: its body is not in this file: check what was sent")
        yield Exchange(request)
    for response in responses_of(received) if found else ():
        yield Exchange(request, response, lacks=lacks_of(response))


def _known(body: JSON) -> JSON:
    """A body; ``None`` if it is in another file, or has variables whose values are."""
    if not isinstance(body, bytes):
        return body
    if _FROM_FILE.match(body):
        return None
    if _USE.search(body):
        try:
            loads(body.decode())
        except (JSONProblem, UnicodeDecodeError):
            return None
    return body


FORMAT = TextFormat(
    name="HTTP file",
    precedence=43,
    suffixes=(".http", ".rest"),
    begins=_begins,
    exchanges=_exchanges,
)
