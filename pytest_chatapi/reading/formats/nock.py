"""Fixtures of nock (Node): ``scope``, ``path`` and ``response``, a call each.

Recorded with ``output_objects``, or by ``nock.back``. A response that came compressed is a list of
hexadecimal texts, one for each piece; any other that is not UTF-8 is one such text.
"""

from __future__ import annotations

import re

from pytest_chatapi.contract.exchange import Exchange, Request, Response, fold_headers
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.reading.bodies import BodyProblem, plain_body
from pytest_chatapi.reading.format import Origin, ValueFormat
from pytest_chatapi.reading.parts import headers_of, printable, status_of

_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_GZIP = "1f8b08"
_ANYTHING = "*"
"""The body of a request that any body matches."""


def _matches(value: JSONObject) -> bool:
    return "scope" in value and "path" in value and ("response" in value or "status" in value)


def _exchange(value: JSONObject, origin: Origin) -> Exchange:
    method = printable(value.get("method")).upper() or "GET"
    url = printable(value["scope"]) + printable(value["path"])
    body = value.get("body")
    request = Request(
        method,
        url,
        headers_of(value.get("reqheaders")),
        None if body == _ANYTHING else plain_body(body),
    )
    headers = _headers(value.get("rawHeaders", value.get("headers")))
    encoding = headers.get("content-encoding", "")
    status = status_of({"status": value.get("status", value.get("reply", 200))})
    return Exchange(request, Response(status, headers, plain_body(_body(value), encoding)))


def _headers(headers: JSON) -> dict[str, str]:
    if isinstance(headers, list) and all(isinstance(item, str) for item in headers):
        return fold_headers(list(zip(headers[::2], headers[1::2], strict=False)))
    return headers_of(headers)


def _body(value: JSONObject) -> JSON:
    body = value.get("response")
    if isinstance(body, list) and body and all(map(_is_hex, body)):
        return bytes.fromhex("".join(body))
    if isinstance(body, str):
        if _is_hex(body) and (value.get("responseIsBinary") is True or body.startswith(_GZIP)):
            return bytes.fromhex(body)
        if value.get("responseIsBinary") is True:
            raise BodyProblem("response: the binary body is not hexadecimal")
    return body


def _is_hex(value: JSON) -> bool:
    return isinstance(value, str) and _HEX.fullmatch(value) is not None


FORMAT = ValueFormat(
    name="nock",
    precedence=31,
    marks=frozenset({"scope"}),
    traces=re.compile(rb'"scope"\s*:\s*"https?:'),
    matches=_matches,
    exchange=_exchange,
)
