"""A home-made log: request and response under any names, told by their shape alone.

One member is a completion, the chunks of one, or its text; another one is the request, or its
messages. An object in which two members could be the response is not taken for a log.
"""

from __future__ import annotations

from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.reading.format import NOWHERE, Origin, ValueFormat
from pytest_chatapi.reading.formats.exchange import (
    exchange_of_parts,
    has_parts_beside,
    is_response,
    responses_in,
    sent_beside,
)

_SHORT_NAMES = (("req", "res"), ("req", "resp"))
_ENVELOPE = {"headers", "status", "status_code", "statusCode"}


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
    if "body" in value and not _ENVELOPE.isdisjoint(value) and is_response(value["body"]):
        return None, value  # a response alone, with what came with it
    responses = responses_in(value)
    if len(responses) != 1:
        return None
    response = responses[0]
    if isinstance(response, str) or is_response(response):
        return None, response
    is_log = sent_beside(value, response) is not None or has_parts_beside(value, response)
    return (None, response) if is_log else None


FORMAT = ValueFormat(
    name="chat log", precedence=65, matches=_matches, exchange=_exchange, bare=True
)
