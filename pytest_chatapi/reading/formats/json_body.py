"""A response body in JSON without its exchange: a completion, one chunk, a list or an error."""

from __future__ import annotations

import re

from pytest_chatapi.contract.exchange import Exchange, Response
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.reading.bodies import plain_body
from pytest_chatapi.reading.format import Origin, ValueFormat

_OTHER_OBJECTS = ("list", "model", "error")


def _matches(value: JSONObject) -> bool:
    kind = value.get("object")
    return (
        isinstance(value.get("choices"), list)
        or (isinstance(kind, str) and kind.startswith("chat.completion"))
        or kind in _OTHER_OBJECTS
        or isinstance(value.get("error"), (dict, str))
    )


def _exchange(value: JSONObject, origin: Origin) -> Exchange:
    is_error = value.get("object") == "error" or isinstance(value.get("error"), (dict, str))
    status = 400 if is_error and "choices" not in value else 200
    return Exchange(None, Response(status, {}, plain_body(origin.text.strip() or value)))


FORMAT = ValueFormat(
    name="JSON body",
    precedence=70,
    traces=re.compile(rb'"choices"\s*:|chat\.completion'),
    matches=_matches,
    exchange=_exchange,
    bare=True,
)
