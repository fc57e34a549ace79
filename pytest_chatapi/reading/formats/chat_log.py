"""A home-made log: request and response under any names, told by their shape alone.

One member is a completion, the chunks of one, or its text; another one is the request, or its
messages. An object in which two members could be the response is not taken for a log.
"""

from __future__ import annotations

from pytest_chatapi.contract.exchange import Exchange, Response
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.reading.format import NOWHERE, Origin, ValueFormat
from pytest_chatapi.reading.formats.exchange import exchange_of_parts
from pytest_chatapi.reading.shapes import (
    are_messages,
    chat_request,
    is_chat_request,
    is_chat_stream,
    is_completion,
    is_of_other_api,
    parsed,
)

_SHORT_NAMES = (("req", "res"), ("req", "resp"))
_ENVELOPE = {"headers", "status", "status_code", "statusCode"}
_MESSAGES = ("input", "inputs", "messages", "prompt")
_PARAMETERS = ("parameters", "params", "model_parameters", "invocation_params", "kwargs")


def _matches(value: JSONObject) -> bool:
    return "choices" not in value and _parts(value) is not None


def _exchange(value: JSONObject, origin: Origin) -> Exchange | None:
    parts = _parts(value)
    if parts is None:
        return None
    if not all(any(part is item for item in (None, value, *value.values())) for part in parts):
        origin = NOWHERE  # it was parsed, from a text
    return exchange_of_parts(*parts, value, origin)


def _parts(value: JSONObject) -> tuple[JSON, JSON] | None:
    """Request and response; ``None`` if `value` is not a log."""
    for request, response in _SHORT_NAMES:
        if isinstance(value.get(request), dict) and isinstance(value.get(response), dict):
            return value[request], value[response]
    if "body" in value and not _ENVELOPE.isdisjoint(value) and _is_response(value["body"]):
        return None, value  # a response alone, with what came with it
    responses = [item for item in value.values() if _is_response(item)]
    if len(responses) == 1:
        return _request(value, responses[0]), responses[0]
    output = parsed(value.get("output"))
    if not responses and isinstance(output, dict) and output.get("role") == "assistant":
        request = _request(value, output)
        return (request, output) if request else None
    return None


def _is_response(item: JSON) -> bool:
    if isinstance(item, str):
        if item.lstrip()[:1] != "{":
            return is_chat_stream(item) and '"chat.completion.chunk"' in item
        item = parsed(item) if '"choices"' in item else None
    return is_completion(item) or is_chat_stream(item) or _is_of_other_api(item)


def _is_of_other_api(item: JSON) -> bool:
    """Whether this is a message of another API, which is not to be missed beside a request."""
    is_message = isinstance(item, dict) and item.get("role") == "assistant"
    return is_message and is_of_other_api(None, Response(body=item))


def _request(value: JSONObject, response: JSON) -> JSON:
    bodies = [item for item in map(parsed, value.values()) if is_chat_request(item)]
    if bodies:
        return bodies[0] if len(bodies) == 1 else None
    for name in _MESSAGES:
        messages = parsed(value.get(name))
        if are_messages(messages):
            members = dict(value)
            for parameters in _PARAMETERS:
                more = parsed(value.get(parameters))
                members.update(more if isinstance(more, dict) else {})
            return chat_request(members, messages, response)
    return None


FORMAT = ValueFormat(
    name="chat log", precedence=65, matches=_matches, exchange=_exchange, bare=True
)
