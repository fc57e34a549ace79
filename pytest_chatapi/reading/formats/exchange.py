"""An object with ``request`` and ``response``: a line of JSON Lines, or part of a cassette.

Most recorders write this, and differ in their bodies: see `ValueFormat.body`. In home-made logs
a part may also be the body itself, or have it under another name: see `exchange_of_parts`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_chatapi.contract.body_tests import objects_in
from pytest_chatapi.contract.exchange import Exchange, Request, Response
from pytest_chatapi.contract.schemas import load
from pytest_chatapi.contract.validation import json_type
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.reading.bodies import BodyProblem, plain_body
from pytest_chatapi.reading.format import NOWHERE, Origin, Side, ValueFormat
from pytest_chatapi.reading.parts import headers_of, printable, status_code, status_of
from pytest_chatapi.reading.registry import NotAnExchange, body_of
from pytest_chatapi.reading.shapes import (
    are_messages,
    chat_request,
    is_chat_request,
    is_chat_stream,
    is_completion,
    is_error,
    is_of_other_api,
    parsed,
    why_no_response,
    why_not_json,
)

CHAT_PATH = "/chat/completions"
"""The URL of an exchange that a log shows to be a chat completion, without saying where it went."""

_STATUSES = frozenset({"status", "status_code", "statusCode"})
_LABELS = frozenset({"headers", "body", "parsed_body"})
# Under one of these there is a body, or the recording says that there was none.
_BODIES = frozenset({"body", "body_content", "body_type", "content", "cut", "parsed_body"})
_OTHER_BODIES = ("json", "data", "text", "content")
_PART = frozenset(
    {
        *_STATUSES,
        *_BODIES,
        *_OTHER_BODIES,
        "chatapi",
        "headers",
        "method",
        "model",
        "path",
        "postData",
        "uri",
        "url",
    }
)
# What logs have beside the text of a message; a status that is left there is a word.
_KNOWN_TO_LOGS = _STATUSES | {"finish_reason", "model", "usage"}
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
    response = value.get("response")
    if "response" not in value:
        found = responses_in(value)
        if len(found) > 1:
            names = " and ".join(printable(key) for key in value if is_response(value[key]))
            raise NotAnExchange(
                f"the response is not understood: {names[:200]} could be it; name it `response`"
            )
        response = found[0] if found else None
    return exchange_of_parts(value.get("request"), response, value, origin)


def responses_in(value: JSONObject) -> list[JSON]:
    """The members of a log that can only be the response; else its output, if it is a message."""
    found = [item for item in value.values() if is_response(item)]
    output = parsed(value.get("output"))
    if not found and isinstance(output, dict) and output.get("role") == "assistant":
        return [output]
    return found


def is_response(item: JSON) -> bool:
    """Whether a member of a log can only be the response."""
    if isinstance(item, str):
        if item.lstrip()[:1] != "{":
            return is_chat_stream(item) and '"chat.completion.chunk"' in item
        item = parsed(item) if '"choices"' in item else None
    return is_completion(item) or is_chat_stream(item) or _is_of_other_api(item)


def _is_of_other_api(item: JSON) -> bool:
    """Whether this is a message of another API, which is not to be missed beside a request."""
    is_message = isinstance(item, dict) and item.get("role") == "assistant"
    return is_message and is_of_other_api(None, Response(body=item))


def exchange_of_parts(
    request: JSON, response: JSON, value: JSONObject, origin: Origin
) -> Exchange | None:
    """The exchange of a request and a response, in the form of a recorder or of a home-made log.

    Each is an object with a body and what came with it, or the body itself, or a text of either.
    A response may also be a list of chunks, or only the message or the text of one.

    Args:
        value: what both are part of; it may have their URL, status and parameters.

    Raises:
        BodyProblem: a body is damaged.
        NotAnExchange: the body of the response is not in any known place, or is only a part of one;
            or that of its request is.
    """
    part = parsed(request)
    whole = part if isinstance(part, dict) else sent_beside(value, response)
    asked = (
        _flat_request(part, value, response)
        if whole is None
        else _request(whole, value, origin if whole is request else NOWHERE)
    )
    kept = None if response is None else _response(response, value, asked, origin)
    if kept is None:
        return Exchange(asked) if asked else None
    answer, assembled = kept
    if whole is None:
        reason = why_not_json(value.get("messages") if part is None else part, "request")
        if reason and not is_of_other_api(None, answer):
            raise NotAnExchange(reason)
    if whole is None and asked is not None:
        asked.body = _fitting(asked.body, answer, value)
    if assembled or answer.chunks is not None:
        # Without an address, a lone response would be held against the reference alone.
        asked = asked or Request()
        if not asked.url:
            asked = _addressed(asked, answer, value)
    lacks = "body not recorded" if answer.body is None and _is_left_out(response) else ""
    return Exchange(asked, answer, assembled=assembled, lacks=lacks)


def _is_left_out(response: JSON) -> bool:
    """Whether HAR says how large a body was, and does not have it."""
    content = response.get("content") if isinstance(response, dict) else None
    if not isinstance(content, dict) or content.get("text") is not None:
        return False
    return any(
        type(size) is int and size > 0 for size in (content.get("size"), response.get("bodySize"))
    )


def _addressed(request: Request, response: Response, value: JSONObject) -> Request:
    """A request with the address of chat completions, unless the bodies are another API's."""
    # `chat_request` leaves tools of another API out.
    written = {name: value[name] for name in ("messages", "tools") if name in value}
    for body in (request.body, written if len(written) == 2 else None):
        if is_of_other_api(body, response):
            return Request(body=body)
    return Request(request.method, CHAT_PATH, request.headers, request.body)


# -- requests ----------------------------------------------------------------------------


_MESSAGES = ("messages", "input", "inputs", "prompt")
_PARAMETERS = ("parameters", "params", "model_parameters", "invocation_params", "kwargs")
# Parameters whose names logs give to what is their own.
_OWN = frozenset({"messages", "metadata", "moderation", "prediction", "store", "user"})


def sent_beside(value: JSONObject, response: JSON) -> JSONObject | None:
    """The body of a request that is one of the members beside a response, under any name."""
    bodies = [
        body
        for item in value.values()
        if item is not response and (isinstance(item, dict) or _has_messages(item))
        if is_chat_request(body := parsed(item))
    ]
    if bodies and are_messages(value.get("messages")):  # others may be of earlier requests
        bodies = [body for body in bodies if body["messages"] == value["messages"]]
    return bodies[0] if len(bodies) == 1 else None


def _has_messages(item: JSON) -> bool:
    return isinstance(item, str) and "messages" in item


def has_parts_beside(value: JSONObject, response: JSONObject) -> bool:
    """Whether the messages of a request are beside a response, and what says for which model."""
    return _messages(value) is not None and any(
        "model" in known for known in (value, response, _stated(value))
    )


def _messages(value: JSONObject) -> JSON:
    candidates = (parsed(value.get(name)) for name in _MESSAGES)
    return next(filter(are_messages, candidates), None)


def _stated(value: JSONObject) -> JSONObject:
    """The parameters of a request that a log has in an object of their own."""
    stated: JSONObject = {}
    for name in _PARAMETERS:
        if name in value and isinstance(more := parsed(value[name]), dict):
            stated.update(more)
    return stated


def _flat_request(part: JSON, value: JSONObject, response: JSON) -> Request | None:
    url = _url(value, "url", "uri", "endpoint")
    messages = part if are_messages(part) else _messages(value)
    if messages is not None:
        return Request(url=url, body=_flat_body(value, messages, response))
    return Request(url=url) if "/" in url else None


def _flat_body(value: JSONObject, messages: JSON, response: JSON) -> JSONObject | None:
    """The body of a request whose parameters are among a log's own members, or in one of them.

    A member that has a parameter's name, but not its type, is the log's own.
    """
    known, stated = load("request").properties, _stated(value)
    own = _OWN if "modalities" in value else _OWN | {"audio"}
    members: JSONObject = {}
    for name, item in value.items():
        if name in known and name not in stated and name not in own:
            types = known[name].types
            members[name] = parsed(item) if "object" in types or "string" not in types else item
    if not isinstance(members.get("model", ""), str):
        del members["model"]
    body = chat_request({**members, **stated}, messages, response)
    return body and {
        name: item
        for name, item in body.items()
        if name not in members or json_type(item) in known[name].types
    }


def _fitting(body: JSON, response: Response, value: JSONObject) -> JSON:
    """The body of a flat request, as far as its response shows that it is one.

    ``None`` where the log left the tools out that are called. ``n`` may be a number of the log's.
    """
    if not isinstance(body, dict):
        return body
    answers = [one for one in response.chunks or [response.body] if isinstance(one, dict)]
    if "n" in value and "n" in body:
        indexes = {str(one.get("index", at)) for at, one in enumerate(_choices(answers))}
        if isinstance(response.body, str):
            indexes = {*_INDEX.findall(response.body)}
        if len(indexes) != body["n"]:
            del body["n"]
    if "tools" in body or "functions" in body:
        return body
    if isinstance(response.body, str):
        return None if _CALLS.search(response.body) else body
    for one in (*answers, *_choices(answers)):
        message = one.get("message") or one.get("delta")
        if isinstance(message, dict) and any(message.get(name) for name in _OF_CALLS):
            return None
    return body


def _choices(answers: list[JSONObject]) -> Iterator[JSONObject]:
    return (choice for one in answers for choice in objects_in(one.get("choices")))


_OF_CALLS = ("tool_calls", "function_call")
_INDEX = re.compile(r'"index"\s*:\s*(\d+)')
_CALLS = re.compile(r'"(?:tool_calls"\s*:\s*\[\s*|function_call"\s*:\s*)\{')


def _request(part: JSONObject, value: JSONObject, origin: Origin) -> Request:
    headers = headers_of(part.get("headers"))
    body = _plain_body(part, "request", headers, origin)
    if body is None and "body" not in part:
        body = _own_request(part)
    method = part.get("method")
    if method != "POST":
        method = printable(method).strip().lstrip(":").upper() or "POST"  # Ruby's :post
    url = _url(part, "uri", "url", "path") or _url(value, "url", "uri", "endpoint")
    return Request(method, url, headers, body)


def _url(part: JSONObject, *keys: str) -> str:
    for key in keys:
        if part.get(key):
            return printable(part[key])
    return ""


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

_Kept = tuple[Response, bool]
"""A response, and whether a log assembled it: see `Exchange`."""


def _response(
    part: JSON, value: JSONObject, request: Request | None, origin: Origin
) -> _Kept | None:
    """``None`` where no response came."""
    is_labelled = isinstance(part, dict) and _is_labelled(part)
    if not is_labelled:
        kept = _of_body(part, value, request)
        if kept is not None:
            return kept
        if not isinstance(part, dict):
            raise NotAnExchange(why_no_response(part))
        if not part and (request is None or not request.url):
            return None  # what logs have for a call that failed
    headers = headers_of(part.get("headers"))
    body = _plain_body(part, "response", headers, origin)
    status = status_of(value if _STATUSES.isdisjoint(part) else part)
    chunks = None
    if isinstance(body, list) and is_chat_stream(body) and "json" not in headers.get(_TYPE, ""):
        chunks, body = body, None
    elif body is None and _BODIES.isdisjoint(part) and not _needs_no_body(status, request):
        chunks, body = _member(part, request)
    if not is_labelled and isinstance(body, str):
        if request is not None and not _KNOWN_TO_LOGS.isdisjoint(part):
            request = Request(body=request.body)  # whatever its address, this is no HTTP
        kept = _of_body(body, {**value, **part}, request)
        if kept is not None:
            return kept
    if status == 0 and body is None and chunks is None:
        return None  # HAR has this for a request that got no response
    ours = part.get("chatapi")
    cut = (ours if isinstance(ours, dict) else part).get("cut", value.get("cut"))
    cut = cut if cut in ("server", "client") else None
    response = Response(200 if status < 100 else status, headers, body, chunks=chunks, cut=cut)
    if isinstance(ours, dict) and isinstance(ours.get("pieces"), str):
        response.arrivals = ours["pieces"]
    return response, False


def _is_labelled(part: JSONObject) -> bool:
    """Whether an object is what HTTP has around a body. A log's own status may be a word."""
    if not _LABELS.isdisjoint(part):
        return True
    return not _STATUSES.isdisjoint(part) and any(
        name in part and (part[name] is None or status_code(part[name]) is not None)
        for name in _STATUSES
    )


def _needs_no_body(status: int, request: Request | None) -> bool:
    """Whether a response never has a body; one with status 0 never came."""
    if status == 0 or 100 <= status < 200 or status in (204, 205, 304):
        return True
    return request is not None and request.method in ("HEAD", "OPTIONS")


def _of_body(part: JSON, value: JSONObject, request: Request | None) -> _Kept | None:
    """The response that is the body itself, or has it under another name, and nothing else."""
    has_status = any(type(value.get(key)) is int for key in _STATUSES)
    status = status_of(value) if has_status else 200
    chunks, body = _apart(part)
    if isinstance(body, dict) and not _is_wire(body):
        if are_messages([body]) or _is_message(body):
            alone = Response(status, body=body)
            if is_of_other_api(None, alone):
                return alone, False
            return _logged(status, {"role": "assistant", **body}, body, value), True
        members = [_apart(member) for key, member in body.items() if key not in _ENVELOPE]
        members = [(c, b) for c, b in members if c or _is_wire(b)]
        if len(members) == 1:
            chunks, body = members[0]
        elif _is_other_body(body):
            return Response(status, body=body), False
        else:
            body = part
    if chunks is not None:
        return Response(status, chunks=chunks), False
    if isinstance(body, str):
        if is_chat_stream(body):
            return Response(status, body=body), False
        if request is None or request.url or not is_chat_request(parsed(request.body)):
            return None
        if reason := why_not_json(body, "response"):
            raise NotAnExchange(reason)
        return _logged(status, {"role": "assistant", "content": body}, value), True
    if not _is_wire(body):
        return None
    return Response(400 if is_error(body) and not has_status else status, body=body), not has_status


def _is_message(body: JSONObject) -> bool:
    """Whether an object is a message, by its calls: logs leave the role out."""
    if "object" in body or "choices" in body or not isinstance(body.get("content", ""), str | None):
        return False
    names = [name for name in _OF_CALLS if name in body]
    return bool(names) and (not body.get("content") or any(body[name] for name in names))


_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")
_USAGE = (*_COUNTS, "prompt_tokens_details", "completion_tokens_details")


def _logged(status: int, message: JSONObject, *around: JSONObject) -> Response:
    """A message alone, with what the objects around it know of its end and its tokens."""
    body: JSONObject = {"message": message}
    for known in around:
        usage, finish = known.get("usage"), known.get("finish_reason")
        if isinstance(usage, dict) and all(type(usage.get(name)) is int for name in _COUNTS):
            body.setdefault("usage", {name: usage[name] for name in _USAGE if name in usage})
        if isinstance(finish, str):
            body.setdefault("finish_reason", finish)
    return Response(status, body=body)


def _apart(part: JSON) -> tuple[JSON, JSON]:
    """The chunks, or else the body that a value is; a text that is JSON is parsed."""
    value = parsed(part)
    return (value, None) if isinstance(value, list) and is_chat_stream(value) else (None, value)


def _is_wire(body: JSON) -> bool:
    """Whether a value is a body without doubt."""
    return is_completion(body) or is_error(body) or is_chat_stream(body)


def _is_other_body(body: JSONObject) -> bool:
    """Whether an object is the body of a response, if maybe another API's: its contract decides.

    What a log made of a response may name the model as well.
    """
    if isinstance(body.get("object"), str) or "candidates" in body:
        return True
    if body.get("type") in ("message", "error"):
        return True
    return isinstance(body.get("model"), str) and (
        "created" in body or is_of_other_api(None, Response(body=body))
    )


def _member(part: JSONObject, request: Request | None) -> tuple[JSON, JSON]:
    """The chunks or else the body that a response has under another name.

    Raises:
        NotAnExchange: there is none, and there should be one of a chat completion.
    """
    for key in _OTHER_BODIES:
        if part.get(key):
            return (None, part[key]) if isinstance(part[key], str) else _apart(part[key])
    own = {key: item for key, item in part.items() if key not in _STATUSES | _ENVELOPE}
    if is_completion(own) or is_error(own):
        return None, own
    bodies = [item for item in own.values() if _is_wire(parsed(item)) or _is_wire(item)]
    if len(bodies) == 1:
        return (None, bodies[0]) if isinstance(bodies[0], str) else _apart(bodies[0])
    if request is None or not request.url or CHAT_PATH in request.url:
        keys = ", ".join(map(printable, part)) or "none"
        raise NotAnExchange(
            f"the response is not understood: its keys are {keys[:200]}, and none of them is the "
            "body"
        )
    return None, None


_TYPE = "content-type"


def _plain_body(part: JSONObject, side: Side, headers: dict[str, str], origin: Origin) -> JSON:
    try:
        recorded = body_of(part, side)
        if recorded == "" and side == "response" and "event-stream" in headers.get(_TYPE, ""):
            return ""  # a stream of nothing, and not one that was not recorded
        return plain_body(recorded, headers.get("content-encoding", ""), origin)
    except BodyProblem as error:
        raise BodyProblem(f"{side}: {error}") from None


FORMAT = ValueFormat(
    name="JSON Lines",
    precedence=60,
    marks=frozenset({"request", "response"}),
    traces=re.compile(rb'(?m)^[ \t-]*(?:request|response)[ \t]*:|"(?:request|response)"\s*:'),
    matches=_matches,
    exchange=_exchange,
)
