"""An object with ``request`` and ``response``: a line of JSON Lines, or part of a cassette.

Most recorders write this, and differ in their bodies: see `ValueFormat.body`. In home-made logs
a part may also be the body itself, or have it under another name: see `exchange_of_parts`.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from pytest_chatapi.contract.exchange import Exchange, Request, Response
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.reading.bodies import BodyProblem, plain_body
from pytest_chatapi.reading.format import Origin, Side, ValueFormat
from pytest_chatapi.reading.parts import headers_of, printable, status_of
from pytest_chatapi.reading.registry import NotAnExchange, body_of
from pytest_chatapi.reading.shapes import (
    are_messages,
    chat_request,
    is_chat_request,
    is_chat_stream,
    is_completion,
    is_error,
    parsed,
)

CHAT_PATH = "/chat/completions"
"""The URL of an exchange that a log shows to be a chat completion, without saying where it went."""

_STATUSES = frozenset({"status", "status_code", "statusCode"})
_LABELS = _STATUSES | {"headers", "body", "parsed_body"}
_BODIES = ("body", "parsed_body", "body_type", "content", "postData")
_OTHER_BODIES = ("json", "data", "text", "content")
_PART = frozenset(
    {
        *_STATUSES,
        *_BODIES,
        *_OTHER_BODIES,
        "chatapi",
        "cut",
        "headers",
        "method",
        "model",
        "path",
        "uri",
        "url",
    }
)
# What recorders and HTTP clients keep of a response besides its body.
_ENVELOPE = frozenset(
    "adapter_metadata cache chatapi config connection cookies cut extensions header headers "
    "history meta metadata method rawHeaders raw_headers request timings trailers uri url".split()
)


def _matches(value: JSONObject) -> bool:
    request, response = value.get("request"), value.get("response")
    if isinstance(request, dict) and _is_part(request):
        return True
    if isinstance(response, dict) and (_is_part(response) or is_chat_stream([response])):
        return True
    if response is None and not isinstance(request, str):
        return "response" in value and are_messages(value.get("messages"))
    return (
        is_chat_stream(response)
        or is_completion(parsed(response))
        or is_chat_request(parsed(request))
        or (isinstance(response, str) and are_messages(value.get("messages")))
    )


def _is_part(part: JSONObject) -> bool:
    """Whether an object is a request or a response, or the body of one."""
    if not part or not _PART.isdisjoint(part):
        return True
    if is_chat_request(part) or _is_wire(part) or are_messages([part]):
        return True
    return any(is_chat_request(item) or _is_wire(item) for item in part.values())


def _exchange(value: JSONObject, origin: Origin) -> Exchange | None:
    return exchange_of_parts(value.get("request"), value.get("response"), value)


def exchange_of_parts(request: JSON, response: JSON, value: JSONObject) -> Exchange | None:
    """The exchange of a request and a response, in the form of a recorder or of a home-made log.

    Each is an object with a body and what came with it, or the body itself, or a text of either.
    A response may also be a list of chunks, or only the message or the text of one.

    Args:
        value: what both are part of; it may have their URL, status and parameters.

    Raises:
        BodyProblem: a body is damaged.
        NotAnExchange: the body of the response is not in any known place.
    """
    asked = _request(parsed(request), value)
    kept = _response(response, value, asked)
    if kept is None:
        return Exchange(asked) if asked else None
    if kept.assembled and asked is None:
        asked = Request(url=CHAT_PATH) if _is_message(kept.response) else None
    elif kept.assembled and asked is not None and not asked.url:
        asked.url = CHAT_PATH
    return Exchange(asked, kept.response, assembled=kept.assembled)


def _is_message(response: Response) -> bool:
    return isinstance(response.body, dict) and "message" in response.body


# -- requests ----------------------------------------------------------------------------


def _request(part: JSON, value: JSONObject) -> Request | None:
    if not isinstance(part, dict):
        if are_messages(value.get("messages")):
            return Request(
                url=_url(value), body=chat_request(value, response=value.get("response"))
            )
        return None
    headers = headers_of(part.get("headers"))
    body = _plain_body(part, "request", headers)
    if body is None:
        # ExVCR has the body under a name of its own, beside an empty one.
        body = part.get("request_body") or None if "body" in part else _own_request(part)
    method = printable(part.get("method")).strip().lstrip(":").upper()  # Ruby's :post
    return Request(method or "POST", _url(part) or _url(value), headers, body)


def _url(part: JSONObject) -> str:
    return next((printable(part[key]) for key in ("uri", "url", "path") if part.get(key)), "")


def _own_request(part: JSONObject) -> JSON:
    """The body that a request is, or that it has under another name; ``None`` without one."""
    if is_chat_request(part) or isinstance(part.get("model"), str):
        return {key: item for key, item in part.items() if key not in _ENVELOPE}
    for key in ("json", "data", "text"):
        if isinstance(parsed(part.get(key)), dict):
            return part[key]
    bodies = [item for item in part.values() if is_chat_request(parsed(item))]
    return bodies[0] if len(bodies) == 1 else None


# -- responses ---------------------------------------------------------------------------


class _Kept(NamedTuple):
    """A response, and whether a log assembled it: see `Exchange`."""

    response: Response
    assembled: bool = False


def _response(part: JSON, value: JSONObject, request: Request | None) -> _Kept | None:
    if not isinstance(part, dict):
        return None if part is None else _of_body(part, value, request)
    is_labelled = "body" in part or not _LABELS.isdisjoint(part)
    if not is_labelled:
        kept = _of_body(part, value, request)
        if kept is not None or not part:
            return kept
    headers = headers_of(part.get("headers"))
    body = _plain_body(part, "response", headers)
    chunks = None
    if body is None and not any(key in part for key in _BODIES):
        member = _member(part, may_be_chat=request is None or _may_be_chat(request))
        chunks, body = (None, member) if isinstance(member, str) else _apart(member)
    if not is_labelled and isinstance(body, str) and body.lstrip()[:1] not in ("{", "["):
        kept = _of_body(body, value, request)  # the text of a message
        if kept is not None:
            return kept
    status = status_of(value if _STATUSES.isdisjoint(part) else part)
    if status == 0 and body is None:
        return None  # HAR has this for a request that got no response
    ours = part.get("chatapi")
    cut = (ours if isinstance(ours, dict) else part).get("cut", value.get("cut"))
    return _Kept(
        Response(
            200 if status < 100 else status,
            headers,
            body,
            chunks=chunks,
            cut=cut if cut in ("server", "client") else None,
        )
    )


def _of_body(part: JSON, value: JSONObject, request: Request | None) -> _Kept | None:
    """The response that is the body itself, or has it under another name, and nothing else."""
    has_status = any(type(value.get(key)) is int for key in _STATUSES)
    status = status_of(value) if has_status else 200
    chunks, body = _apart(part)
    if isinstance(body, dict) and not (is_completion(body) or is_error(body)):
        if are_messages([body]):
            return _Kept(Response(status, body={"message": body}), True)
        members = [_apart(member) for key, member in body.items() if key not in _ENVELOPE]
        members = [(c, b) for c, b in members if c or _is_wire(b)]
        if len(members) != 1:
            return _Kept(Response(status, body=body)) if _is_other_body(body) else None
        chunks, body = members[0]
    if chunks is None and isinstance(body, str) and not _is_wire(body):
        if request is None or not is_chat_request(parsed(request.body)):
            return None
        message = {"role": "assistant", "content": body}
        return _Kept(Response(status, body={"message": message}), True)
    if is_error(body) and not has_status:
        status = 400
    if isinstance(body, str):
        return _Kept(Response(status, body=body))
    if chunks is None and not isinstance(body, dict):
        return None
    return _Kept(Response(status, body=body, chunks=chunks), not has_status)


def _apart(part: JSON) -> tuple[JSON, JSON]:
    """The chunks, or else the body that a value is; a text that is JSON is parsed."""
    if is_chat_stream(part):
        return (part, None) if isinstance(part, list) else (None, part)
    value = parsed(part)
    return (value, None) if is_chat_stream(value) else (None, value)


def _is_wire(body: JSON) -> bool:
    """Whether a value is a body without doubt."""
    return is_completion(body) or is_error(body) or is_chat_stream(body)


def _is_other_body(body: JSONObject) -> bool:
    """Whether an object is the body of a response, if maybe another API's: its contract decides."""
    if isinstance(body.get("object"), str) or isinstance(body.get("model"), str):
        return True
    return body.get("type") in ("message", "error") or "candidates" in body


def _may_be_chat(request: Request) -> bool:
    return not request.url or "/chat/completions" in request.url


def _member(part: JSONObject, *, may_be_chat: bool) -> JSON:
    """The body that a response has under another name; ``None`` without one.

    Raises:
        NotAnExchange: it has something else that may be one, of a chat completion.
    """
    for key in _OTHER_BODIES:
        if part.get(key):
            return part[key]
    own = {key: item for key, item in part.items() if key not in _STATUSES | _ENVELOPE}
    if is_completion(own) or is_error(own):
        return own
    others = {key: item for key, item in own.items() if _may_be_body(item)}
    bodies = [item for item in others.values() if _is_wire(parsed(item))]
    if len(bodies) == 1:
        return bodies[0]
    if may_be_chat and not part.keys() & {*_STATUSES, "headers"}:
        others = own
    for key in others if may_be_chat else ():
        name = json.dumps(printable(key))
        raise NotAnExchange(f'the response has no "body"; if that is {name}, rename it')
    return None


def _may_be_body(item: JSON) -> bool:
    return bool(item) and isinstance(parsed(item) if isinstance(item, str) else item, dict | list)


def _plain_body(part: JSONObject, side: Side, headers: dict[str, str]) -> JSON:
    try:
        return plain_body(body_of(part, side), headers.get("content-encoding", ""))
    except BodyProblem as error:
        raise BodyProblem(f"{side}: {error}") from None


FORMAT = ValueFormat(
    name="JSON Lines",
    precedence=60,
    traces=re.compile(rb'(?m)^[ \t-]*(?:request|response)[ \t]*:|"(?:request|response)"\s*:'),
    matches=_matches,
    exchange=_exchange,
)
