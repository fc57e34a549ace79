"""Bodies in Pact files of version 4: ``{content, contentType, encoded}``."""

from __future__ import annotations

from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import ABSENT
from pytest_chatapi.reading.format import Side, ValueFormat
from pytest_chatapi.reading.parts import from_base64


def _body(part: JSONObject, side: Side) -> JSON:
    body = part.get("body")
    if not isinstance(body, dict) or "content" not in body or "contentType" not in body:
        return ABSENT
    content = body["content"]
    return from_base64(content) if body.get("encoded") == "base64" else content


FORMAT = ValueFormat(name="Pact", precedence=35, body=_body)
