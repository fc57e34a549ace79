"""Flows that mitmproxy saved (``mitmdump -w``), read by the mitmproxy package."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

from pytest_chatapi.contract.exchange import Exchange, Request, Response, Source, fold_headers
from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.errors import ReadError
from pytest_chatapi.reading.bodies import BodyProblem, plain_body
from pytest_chatapi.reading.files import join
from pytest_chatapi.reading.format import RecordedFile, TextFormat

# A tnetstring: the length of a dict, then that of its first key and the key.
_FLOW = re.compile(rb"\d{1,12}:(\d{1,2}):([a-z_]+)[;,]")


def _begins(text: bytes, complete: bool) -> bool | None:
    if len(text) < 64 and not complete:
        return None
    start = _FLOW.match(text)
    return start is not None and int(start[1]) == len(start[2])


def _exchanges(file: RecordedFile, blocks: Iterator[bytes]) -> Iterator[Exchange]:
    try:
        from mitmproxy.exceptions import (  # type: ignore[import-not-found,unused-ignore]
            FlowReadException,
        )
        from mitmproxy.io import (  # type: ignore[import-not-found,unused-ignore]
            FlowReader,
        )
    except ImportError:
        reason = (
            "flows of mitmproxy: install mitmproxy in this environment to read them "
            "(pip install mitmproxy), or save them as HAR"
        )
        raise ReadError(file.name, "", reason) from None
    flows = FlowReader(io.BytesIO(join(blocks, file.name, file.path))).stream()
    index = 0
    while True:
        try:
            flow = next(flows, None)
        except FlowReadException as error:
            reason = f"damaged flow of mitmproxy: {error}".rstrip(".")
            raise ReadError(file.name, f"interaction {index}", reason) from None
        if flow is None:
            return
        try:
            exchange = _exchange(flow)
        except BodyProblem as error:
            file.on_error(ReadError(file.name, f"interaction {index}", str(error)))
        else:
            exchange.source = Source(file.name, index)
            yield exchange
        index += 1


def _exchange(flow: Any) -> Exchange:
    """The exchange of a flow; those of TCP, UDP and DNS have none to show."""
    if getattr(flow, "type", "") != "http":
        return Exchange(lacks="not HTTP")
    message = flow.request
    headers, body = _parts(message, "request")
    request = Request(message.method.upper(), message.pretty_url, headers, body)
    message = flow.response
    if message is None:
        return Exchange(request)
    headers, body = _parts(message, "response")
    response = Response(message.status_code, headers, body)
    if flow.error is not None:
        by_client = "client disconnected" in str(flow.error.msg).lower()
        response.cut = "client" if by_client else "server"
    return Exchange(request, response)


def _parts(message: Any, side: str) -> tuple[dict[str, str], JSON]:
    headers = fold_headers(list(message.headers.items(multi=True)))
    try:
        return headers, plain_body(message.raw_content, headers.get("content-encoding", ""))
    except BodyProblem as error:
        raise BodyProblem(f"{side}: {error}") from None


FORMAT = TextFormat(
    name="mitmproxy",
    precedence=44,
    suffixes=(".flow", ".flows", ".mitm"),
    begins=_begins,
    exchanges=_exchanges,
)
