"""A response body in JSON without its exchange: a completion, one chunk, a list or an error.

Those of other APIs too, so that they are named and not taken for damage.
"""

from __future__ import annotations

import re

from pytest_chatapi.contract.exchange import Exchange, Response
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.reading.bodies import plain_body
from pytest_chatapi.reading.format import Origin, ValueFormat
from pytest_chatapi.reading.shapes import is_of_other_api

_OTHER_OBJECTS = ("list", "model", "error")
# Without one of these, too many documents would look like a body.
_MARKS = {"object", "type", "candidates", "results"}


def _matches(value: JSONObject) -> bool:
    kind = value.get("object")
    return (
        isinstance(value.get("choices"), list)
        or (isinstance(kind, str) and kind.startswith("chat.completion"))
        or kind in _OTHER_OBJECTS
        or isinstance(value.get("error"), (dict, str))
        or (not _MARKS.isdisjoint(value) and is_of_other_api(None, Response(body=value)))
    )


def _exchange(value: JSONObject, origin: Origin) -> Exchange:
    is_error = value.get("object") == "error" or isinstance(value.get("error"), (dict, str))
    status = 400 if is_error and "choices" not in value else 200
    return Exchange(
        None, Response(status, {}, plain_body(origin.text.strip() or value, origin=origin))
    )


FORMAT = ValueFormat(
    name="JSON body",
    precedence=70,
    traces=re.compile(rb'"choices"\s*:|chat\.completion'),
    matches=_matches,
    exchange=_exchange,
    bare=True,
)
