"""Cassettes of vcrpy and of Ruby's VCR: ``interactions``, with bodies as text or in an object.

A persister of vcrpy gets ``requests`` and ``responses`` in two lists, and some write them so, as
LangChain's does.

Ruby's body is ``{encoding, string}``. A string that its YAML cannot hold, or that is not in UTF-8,
is ``!binary``, ``base64_string``, or base64 text under ``string`` where a tool lost the tag.
"""

from __future__ import annotations

import re
from contextlib import suppress
from itertools import zip_longest

from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import ABSENT
from pytest_chatapi.reading.bodies import BodyProblem
from pytest_chatapi.reading.format import Side, ValueFormat
from pytest_chatapi.reading.parts import from_base64

_WRAPPERS = {"string", "base64_string", "encoding"}


def _items(document: JSON) -> list[JSON] | None:
    if isinstance(document, dict):
        for key in ("interactions", "http_interactions"):
            if key in document and isinstance(document[key], (list, type(None))):
                items = document[key] or []
                is_of_http = (
                    any(map(_is_of_http, items)) if items else _NOT_HTTP.isdisjoint(document)
                )
                return items if is_of_http else None
        requests, responses = document.get("requests"), document.get("responses")
        if isinstance(requests, list) and isinstance(responses, list):
            pairs = zip_longest(requests, responses)
            items = [{"request": request, "response": response} for request, response in pairs]
            return items if all(map(_is_call, requests)) else None
    return None


# Beside an empty list in a cassette of cassetter.
_NOT_HTTP = {"grpc_interactions", "ws_interactions"}


def _is_of_http(item: JSON) -> bool:
    # Recorders of WebSockets and gRPC write `interactions` of other members.
    return not isinstance(item, dict) or "request" in item or "response" in item


def _is_call(request: JSON) -> bool:
    return isinstance(request, dict) and "method" in request and "uri" in request


def _body(part: JSONObject, side: Side) -> JSON:
    body = part.get("body")
    if isinstance(body, dict) and body and body.keys() <= _WRAPPERS:
        if "base64_string" in body:
            return from_base64(body["base64_string"])
        body = _string(body.get("string"), body.get("encoding"))
    if body in (None, "") and "parsed_body" in part:
        body = part["parsed_body"]
    return ABSENT if body is None else body


def _string(text: JSON, encoding: JSON) -> JSON:
    """The body in a string, decoded where the string is base64 or each character is a byte."""
    if not isinstance(text, str):
        return text
    if _BASE64.match(text):
        with suppress(BodyProblem):
            data = from_base64(text)
            if _BODY.match(data):
                return data
    if encoding == "ASCII-8BIT" and not text.isascii():
        with suppress(UnicodeError):
            data = text.encode("latin-1")
            data.decode()
            return data
    return text


# How base64 of gzip data, JSON and event streams begins.
_BASE64 = re.compile(r"\s*(?:H4sI|e[wyX3]|W[wyX3]|ZGF0Y|ZXZlb|O[ig]|[CD][gQ])")
_BODY = re.compile(rb"\x1f\x8b\x08|\s*(?:[{\[]|data:|event:|:)")


FORMAT = ValueFormat(
    name="vcrpy",
    precedence=40,
    marks=frozenset({"body", "parsed_body", "interactions", "http_interactions", "requests"}),
    traces=re.compile(
        rb"(?m)^[ \t-]*(?:http_)?interactions[ \t]*:"
        rb'|^\[\[interactions\]\]|"interactions"\s*:'
    ),
    items=_items,
    body=_body,
)
