"""Bodies in cassettes of cassetter: ``{type, content}`` in YAML, ``body_type`` in TOML.

Beside its HTTP interactions a cassette may have WebSocket connections and gRPC calls.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from pytest_chatapi.contract.exchange import Exchange, Request
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


def other_traffic(document: JSON) -> Iterator[Exchange]:
    """The requests that opened a WebSocket or called gRPC, alone, so that they are counted."""
    for key, member in (("ws_interactions", "uri"), ("grpc_interactions", "method")):
        items = document.get(key) if isinstance(document, dict) else None
        for item in items if isinstance(items, list) else ():
            part = item.get("request", item) if isinstance(item, dict) else None
            address = part.get(member) if isinstance(part, dict) else None
            yield Exchange(Request("GET", address if isinstance(address, str) and address else key))


FORMAT = ValueFormat(
    name="cassetter", precedence=30, marks=frozenset({"body_type", "type"}), body=_body
)
