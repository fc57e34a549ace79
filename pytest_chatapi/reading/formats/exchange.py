"""An object with ``request`` and ``response``: a line of JSON Lines, or part of a cassette.

Most recorders write this, and differ in their bodies: see `ValueFormat.body`.
"""

from __future__ import annotations

import re

from pytest_chatapi.contract.exchange import Exchange, Request, Response
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import show
from pytest_chatapi.reading.bodies import BodyProblem, plain_body
from pytest_chatapi.reading.format import Origin, Side, ValueFormat
from pytest_chatapi.reading.parts import headers_of, printable, status_of
from pytest_chatapi.reading.registry import NotAnExchange, body_of


def _matches(value: JSONObject) -> bool:
    return isinstance(value.get("request"), dict) or isinstance(value.get("response"), dict)


def _exchange(value: JSONObject, origin: Origin) -> Exchange | None:
    request = _request(value.get("request"))
    response = _response(value.get("response"), value)
    return Exchange(request, response) if request or response else None


def _request(part: JSON) -> Request | None:
    if not isinstance(part, dict):
        return None
    headers = headers_of(part.get("headers"))
    body = _plain_body(part, "request", headers)
    method = printable(part.get("method")).strip().upper() or "POST"
    url = next((printable(part[key]) for key in ("uri", "url", "path") if part.get(key)), "")
    return Request(method, url, headers, body)


def _response(part: JSON, value: JSONObject) -> Response | None:
    if part is None:
        return None
    if not isinstance(part, dict):
        raise NotAnExchange(
            f"the response is not understood: it is not an object, but {show(part)}"
        )
    headers = headers_of(part.get("headers"))
    body = _plain_body(part, "response", headers)
    status = status_of(part)
    if body is None and _BODIES.isdisjoint(part) and not _needs_no_body(status, value):
        keys = ", ".join(map(printable, part)) or "none"
        raise NotAnExchange(
            f"the response is not understood: its keys are {keys[:200]}, and none of them holds "
            "the body"
        )
    if status == 0 and body is None:
        return None  # HAR has this for a request that got no response
    ours = part.get("chatapi")
    cut = (ours if isinstance(ours, dict) else part).get("cut", value.get("cut"))
    return Response(
        200 if status < 100 else status,
        headers,
        body,
        cut=cut if cut in ("server", "client") else None,
    )


_TYPE = "content-type"
# Under one of these there is a body, or the recording says that there was none.
_BODIES = {"body", "content", "parsed_body", "body_type", "body_content", "cut"}


def _needs_no_body(status: int, value: JSONObject) -> bool:
    """Whether a response never has a body; one with status 0 never came."""
    request = value.get("request")
    method = request.get("method") if isinstance(request, dict) else None
    return (
        status == 0
        or 100 <= status < 200
        or status in (204, 205, 304)
        or printable(method).upper() in ("HEAD", "OPTIONS")
    )


def _plain_body(part: JSONObject, side: Side, headers: dict[str, str]) -> JSON:
    try:
        recorded = body_of(part, side)
        if recorded == "" and side == "response" and "event-stream" in headers.get(_TYPE, ""):
            return ""  # a stream of nothing, and not one that was not recorded
        return plain_body(recorded, headers.get("content-encoding", ""))
    except BodyProblem as error:
        raise BodyProblem(f"{side}: {error}") from None


FORMAT = ValueFormat(
    name="JSON Lines",
    precedence=60,
    traces=re.compile(rb'(?m)^[ \t-]*(?:request|response)[ \t]*:|"(?:request|response)"\s*:'),
    matches=_matches,
    exchange=_exchange,
)
