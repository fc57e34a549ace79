"""HAR: ``log.entries``, with bodies in ``postData`` and ``content``.

Polly.js writes the chunks of a body that is compressed or not in UTF-8 as a JSON list of texts,
each in base64, or in hexadecimal before version 5.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress

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
        if not isinstance(text, str):
            return text
        encoding = content.get("encoding")
        if encoding in ("base64", "hex") or content.get("_isBinary") or text.startswith('["'):
            return _decoded(text, encoding == "base64")
        return text
    # A text is what vcrpy wrote for the first versions of httpx.
    return content if side == "response" else ABSENT


def _decoded(text: str, is_base64: bool) -> JSON:
    """The bytes in a text or in the chunks of one; the text itself if it is plain.

    Raises:
        BodyProblem: it should be base64, and is not.
    """
    chunks: JSON = [text]
    if text[:1] == "[":
        with suppress(ValueError, RecursionError):
            chunks = json.loads(text)
    if not isinstance(chunks, list) or not all(isinstance(chunk, str) for chunk in chunks):
        return text
    if all(_HEX.fullmatch(chunk) for chunk in chunks):
        data = b"".join(map(bytes.fromhex, chunks))
        if not is_base64 or _BODY.match(data):
            return data
    return b"".join(map(from_base64, chunks)) if is_base64 else text


_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")
_BODY = re.compile(rb"\x1f\x8b|\x28\xb5\x2f\xfd|\x78|\s*(?:[{\[]|data:|event:|:)")


FORMAT = ValueFormat(
    name="HAR",
    precedence=50,
    suffixes=(".har",),
    marks=frozenset({"log", "content", "postData"}),
    traces=re.compile(rb'"entries"\s*:'),
    items=_items,
    body=_body,
)
