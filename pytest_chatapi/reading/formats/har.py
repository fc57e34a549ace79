"""HAR: ``log.entries``, with bodies in ``postData`` and ``content``."""

from __future__ import annotations

import re

from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import ABSENT
from pytest_chatapi.reading.format import Side, ValueFormat
from pytest_chatapi.reading.parts import from_base64


def _items(document: JSON) -> list[JSON] | None:
    log = document.get("log") if isinstance(document, dict) else None
    entries = log.get("entries") if isinstance(log, dict) else None
    return entries if isinstance(entries, list) else None


def _body(part: JSONObject, side: Side) -> JSON:
    content = part.get("postData" if side == "request" else "content", ABSENT)
    if isinstance(content, dict):
        text = content.get("text")
        if content.get("encoding") == "base64" and isinstance(text, str):
            return from_base64(text)
        return text
    # A text is what vcrpy wrote for the first versions of httpx.
    return content if side == "response" else ABSENT


FORMAT = ValueFormat(
    name="HAR",
    precedence=50,
    suffixes=(".har",),
    traces=re.compile(rb'"entries"\s*:'),
    items=_items,
    body=_body,
)
