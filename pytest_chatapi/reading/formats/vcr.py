"""Cassettes of vcrpy and of Ruby's VCR: ``interactions``, with bodies as text or in an object."""

from __future__ import annotations

import re

from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import ABSENT
from pytest_chatapi.reading.format import Side, ValueFormat
from pytest_chatapi.reading.parts import from_base64

_WRAPPERS = {"string", "base64_string", "encoding"}


def _items(document: JSON) -> list[JSON] | None:
    if isinstance(document, dict):
        for key in ("interactions", "http_interactions"):
            if key in document and isinstance(document[key], (list, type(None))):
                return document[key] or []
    return None


def _body(part: JSONObject, side: Side) -> JSON:
    body = part.get("body")
    if isinstance(body, dict) and body and body.keys() <= _WRAPPERS:
        if "base64_string" in body:
            return from_base64(body["base64_string"])
        body = body.get("string")
    if body in (None, "") and "parsed_body" in part:
        body = part["parsed_body"]
    return ABSENT if body is None else body


FORMAT = ValueFormat(
    name="vcrpy",
    precedence=40,
    traces=re.compile(
        rb"(?m)^[ \t-]*(?:http_)?interactions[ \t]*:"
        rb'|^\[\[interactions\]\]|"interactions"\s*:'
    ),
    items=_items,
    body=_body,
)
