"""Recordings of the Azure SDK's test proxy: ``Entries``, an exchange each.

A body is a JSON object, a text, or a list of lines; base64 where its content type is not text.
"""

from __future__ import annotations

import re
from contextlib import suppress

from pytest_chatapi.contract.exchange import Exchange, Request, Response
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.reading.bodies import BodyProblem, plain_body
from pytest_chatapi.reading.format import Origin, Side, ValueFormat
from pytest_chatapi.reading.parts import from_base64, headers_of, printable, status_of
from pytest_chatapi.reading.registry import NotAnExchange

_TEXT_TYPE = re.compile(r"text/|[/+](?:json|xml|x-www-form-urlencoded)\b", re.IGNORECASE)


def _items(document: JSON) -> list[JSON] | None:
    entries = document.get("Entries") if isinstance(document, dict) else None
    return entries if isinstance(entries, list) else None


def _matches(value: JSONObject) -> bool:
    return "RequestUri" in value and "StatusCode" in value


def _exchange(value: JSON, origin: Origin) -> Exchange:
    if not isinstance(value, dict) or not _matches(value):
        raise NotAnExchange('not an entry: it has no "RequestUri" or no "StatusCode"')
    headers = headers_of(value.get("RequestHeaders"))
    request = Request(
        printable(value.get("RequestMethod")).upper() or "POST",
        printable(value["RequestUri"]),
        headers,
        _body(value.get("RequestBody"), "request", headers),
    )
    headers = headers_of(value.get("ResponseHeaders"))
    status = status_of({"status": value["StatusCode"]})
    body = _body(value.get("ResponseBody"), "response", headers)
    return Exchange(request, Response(status, headers, body))


def _body(body: JSON, side: Side, headers: dict[str, str]) -> JSON:
    if isinstance(body, list) and all(isinstance(line, str) for line in body):
        body = "".join(body)
    elif isinstance(body, str) and not _TEXT_TYPE.search(headers.get("content-type", "")):
        with suppress(BodyProblem):  # a text whose content type was removed
            body = from_base64(body)
    try:
        return plain_body(body, headers.get("content-encoding", ""))
    except BodyProblem as error:
        raise BodyProblem(f"{side}: {error}") from None


FORMAT = ValueFormat(
    name="Azure test proxy",
    precedence=33,
    marks=frozenset({"Entries", "RequestUri"}),
    traces=re.compile(rb'"(?:Entries|RequestUri)"\s*:'),
    items=_items,
    matches=_matches,
    exchange=_exchange,
)
