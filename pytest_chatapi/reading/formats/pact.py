"""Bodies in contracts of Pact, version 4: ``{content, contentType, encoded}``."""

from __future__ import annotations

from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import ABSENT
from pytest_chatapi.reading.format import Side, ValueFormat
from pytest_chatapi.reading.parts import from_base64

_KEYS = {"content", "contentType", "contentTypeHint", "encoded"}


def _body(part: JSONObject, side: Side) -> JSON:
    body = part.get("body")
    if not isinstance(body, dict) or "content" not in body or "contentType" not in body:
        return ABSENT
    if not body.keys() <= _KEYS:
        return ABSENT
    if body.get("encoded") in (True, "base64"):
        return from_base64(body["content"])
    return body["content"]


FORMAT = ValueFormat(name="Pact", precedence=38, marks=frozenset({"contentType"}), body=_body)
