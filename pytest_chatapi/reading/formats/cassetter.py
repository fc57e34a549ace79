"""Bodies in cassettes of cassetter: ``{type, content}`` in YAML, ``body_type`` in TOML."""

from __future__ import annotations

import json

from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import ABSENT
from pytest_chatapi.reading.bodies import BodyProblem
from pytest_chatapi.reading.format import Side, ValueFormat

_TYPES = ("json", "text", "binary", "none")


def _body(part: JSONObject, side: Side) -> JSON:
    if "body_type" in part:
        return _content(part["body_type"], part.get("body_content"))
    body = part.get("body")
    if isinstance(body, dict) and body.get("type") in _TYPES and body.keys() <= {"type", "content"}:
        content = body.get("content")
        if body["type"] == "json" and isinstance(content, str):
            return json.dumps(content)  # parsed already, so the text is a JSON string
        return _content(body["type"], content)
    return ABSENT


def _content(kind: JSON, content: JSON) -> JSON:
    if kind == "none":
        return None
    if kind == "binary" and isinstance(content, str):
        try:
            return bytes.fromhex(content)
        except ValueError:
            raise BodyProblem("the binary body is not hexadecimal") from None
    return content


FORMAT = ValueFormat(name="cassetter", precedence=30, body=_body)
