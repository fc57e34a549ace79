"""Cassettes of ExVCR (Elixir): a list of calls, whose responses have a ``type``."""

from __future__ import annotations

from pytest_chatapi.contract.exchange import Exchange, Request, Response
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.reading.bodies import BodyProblem, plain_body
from pytest_chatapi.reading.format import Origin, ValueFormat
from pytest_chatapi.reading.parts import from_base64, headers_of, printable, status_of

# Erlang's external terms: the version, the tag of a binary, its length in four bytes.
_BINARY = b"\x83m"


def _matches(value: JSONObject) -> bool:
    request, response = value.get("request"), value.get("response")
    return (
        isinstance(response, dict)
        and isinstance(request, dict)
        and response.get("type") in ("ok", "error")
        and ("options" in request or "request_body" in request)
    )


def _exchange(value: JSONObject, origin: Origin) -> Exchange:
    part = value["request"]
    request = Request(
        printable(part.get("method")).upper() or "POST",
        printable(part.get("url")),
        headers_of(part.get("headers")),
        plain_body(part.get("body") or part.get("request_body")),
    )
    part = value["response"]
    if part["type"] == "error":
        return Exchange(request)
    headers = headers_of(part.get("headers"))
    encoding = headers.get("content-encoding", "")
    return Exchange(request, Response(status_of(part), headers, plain_body(_body(part), encoding)))


def _body(part: JSONObject) -> JSON:
    if part.get("binary") is not True:
        return part.get("body")
    term = from_base64(part.get("body"))
    if not term.startswith(_BINARY) or int.from_bytes(term[2:6], "big") != len(term) - 6:
        raise BodyProblem("response: the binary body is not a binary of Erlang")
    return term[6:]


FORMAT = ValueFormat(
    name="ExVCR",
    precedence=37,
    marks=frozenset({"options", "request_body"}),
    matches=_matches,
    exchange=_exchange,
)
