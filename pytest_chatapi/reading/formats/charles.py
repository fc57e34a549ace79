"""Session files of Charles Proxy in JSON (``.chlsj``): a list of transactions."""

from __future__ import annotations

import re

from pytest_chatapi.contract.exchange import Exchange, Request, Response
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.reading.bodies import BodyProblem, plain_body
from pytest_chatapi.reading.format import Origin, Side, ValueFormat
from pytest_chatapi.reading.parts import from_base64, headers_of, printable, status_of


def _matches(value: JSONObject) -> bool:
    return (
        isinstance(value.get("host"), str)
        and isinstance(value.get("scheme"), str)
        and isinstance(value.get("request"), dict)
    )


def _exchange(value: JSONObject, origin: Origin) -> Exchange:
    port, query = value.get("port"), printable(value.get("query"))
    host = f"{printable(value['host'])}:{port}" if type(port) is int else printable(value["host"])
    path = printable(value.get("path")) + (f"?{query}" if query else "")
    headers, body = _part(value["request"], "request")
    method = printable(value.get("method")).upper() or "POST"
    request = Request(method, f"{printable(value['scheme'])}://{host}{path}", headers, body)
    answer = value.get("response")
    if not isinstance(answer, dict) or type(answer.get("status")) is not int:
        return Exchange(request)
    headers, body = _part(answer, "response")
    return Exchange(request, Response(status_of(answer), headers, body))


def _part(part: JSONObject, side: Side) -> tuple[dict[str, str], JSON]:
    """Headers and body of one side."""
    header = part.get("header", part.get("headers"))
    headers = headers_of(header.get("headers") if isinstance(header, dict) else header)
    mime_type = printable(part.get("mimeType"))
    if mime_type and "content-type" not in headers:
        headers = {**headers, "content-type": mime_type}
    kept = part.get("body")
    kept = kept if isinstance(kept, dict) else {}
    try:
        body = kept.get("text")
        if body is None and isinstance(kept.get("encoded"), str):
            body = from_base64(kept["encoded"])
        encoding = part.get("contentEncoding") or headers.get("content-encoding")
        return headers, plain_body(body, printable(encoding))
    except BodyProblem as error:
        raise BodyProblem(f"{side}: {error}") from None


FORMAT = ValueFormat(
    name="Charles",
    precedence=55,
    suffixes=(".chlsj",),
    marks=frozenset({"scheme"}),
    traces=re.compile(rb'"scheme"\s*:'),
    matches=_matches,
    exchange=_exchange,
)
