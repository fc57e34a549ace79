"""What a model could say to a request: replies that fit it, from the plainest to the oddest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache

from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.errors import SettingError
from pytest_chatapi.mock import builders
from pytest_chatapi.mock.builders import reply_that_fits
from pytest_chatapi.mock.generated import Stamp, stamp_of
from pytest_chatapi.mock.replies import Reply
from pytest_chatapi.mock.schema_values import fitting_json
from pytest_chatapi.mock.wire_form import compact

__all__ = [
    "HARD",
    "KINDS",
    "SUCCESSES",
    "completion_for",
    "endings",
    "fitting",
    "kinds",
    "reply_of",
]

HARD = ' Zoë: "日本" 🙂\u2028data: [DONE]\x85{}\\n\n\n id: 1  end '
"""A text that readers get wrong: each part of it looks like something else on the wire."""

SUCCESSES = ("text", "structured", "call", "calls", "text and calls")
"""The kinds that a consumer must be able to read; the others it may refuse."""


KINDS = (*SUCCESSES, "refusal", "length", "content_filter")


def kinds(ask: Ask) -> list[str]:
    """The kinds of replies that fit a request, the plainest first."""
    found = []
    is_forced = ask.choice in ("required", "named") and bool(ask.tools)
    if not is_forced:
        found.append("structured" if ask.format in ("json_object", "json_schema") else "text")
    if _tools(ask):
        found.append("call")
        if ask.parallel is not False and ask.choice != "named" and ask.body.get("tools"):
            found.append("calls")
            if not is_forced and not ask.format:
                found.append("text and calls")
    found.append("refusal")
    return found


def endings(ask: Ask) -> list[str]:
    """The kinds of text that ends before it is complete, as `finish_reason` says then.

    Where JSON is wanted there are none: what ends early is not JSON.
    """
    if "text" not in kinds(ask):
        return []
    return [*(["length"] if ask.cap is not None else []), "content_filter"]


def _tools(ask: Ask) -> list[tuple[str, str]]:
    if ask.choice == "none":
        return []
    if ask.named is not None:
        return [ask.named]
    return list(ask.allowed or ask.tools)


def reply_of(kind: str, ask: Ask, text: str, number: int = 0) -> Reply:
    """A reply of a kind that fits a request.

    Args:
        text: what is said; where the reply is JSON, its strings, as far as its schema allows.
        number: which of the tools is called first.
    """
    if kind in ("text", "length", "content_filter"):
        return builders.text(text, finish_reason="stop" if kind == "text" else kind)
    if kind == "refusal":
        return builders.refusal(text or "No.")
    if kind == "structured":
        schema = (
            ask.schema if isinstance(ask.schema, dict) and ask.format == "json_schema" else None
        )
        return builders.structured(_value(compact(schema or _ANY), text))
    tools = _tools(ask)
    if kind == "call":
        return _call(tools[number % len(tools)], ask, text)
    # Calls of different tools, and of the same one with the same arguments.
    texts = (text, text[1:], text) if kind == "calls" else (text[:2], text[:2])
    calls = [_call(tools[(number + at % 2) % len(tools)], ask, t) for at, t in enumerate(texts)]
    return builders.tool_calls(*calls, content=text if kind == "text and calls" else None)


_ANY: JSONObject = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
    "additionalProperties": False,
}


def _call(key: tuple[str, str], ask: Ask, text: str) -> Reply:
    kind, name = key
    if kind == "custom":
        if ask.tools[key].grammar is not None:
            raise SettingError(
                f"the tool {name} has a grammar: pass replies=[custom_tool_call(...)]"
            )
        return builders.custom_tool_call(name, text)
    parameters = ask.tools[key].parameters
    schema = (
        {"type": "object", **parameters} if isinstance(parameters, dict) else {"type": "object"}
    )
    return builders.tool_call(name, _value(compact(schema), text))


@lru_cache(maxsize=1024)
def _value(schema: str, text: str) -> JSON:
    """A value that matches a schema, with a text in its strings where the schema allows it."""
    plain = json.loads(fitting_json(schema))
    for value in (_with_text(plain, json.loads(schema), text), plain):
        if _matches(value, schema):
            return value
    return plain


def _with_text(value: JSON, schema: JSON, text: str) -> JSON:
    if not isinstance(schema, Mapping):
        return value
    if isinstance(value, dict):
        properties = schema.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        return {key: _with_text(item, properties.get(key), text) for key, item in value.items()}
    is_free = not {"enum", "const", "format", "pattern", "maxLength"} & schema.keys()
    if isinstance(value, str) and schema.get("type") == "string" and is_free:
        return text or value
    return value


def _matches(value: JSON, schema: str) -> bool:
    from jsonschema import Draft202012Validator

    return bool(Draft202012Validator(json.loads(schema)).is_valid(value))


def fitting(reply: Reply | None, body: JSONObject) -> Reply:
    """A reply if it fits a request, else the plainest one that does."""
    if reply is not None:
        try:
            reply.completion(body, stamp_of("chatapi_fuzz", 0))
            return reply
        except SettingError:
            pass
    return reply_that_fits(Ask(body))


def completion_for(reply: Reply, body: JSONObject, turn: int) -> JSONObject:
    """The ``chat.completion`` that a reply is, the same each time.

    Raises:
        SettingError: the reply does not fit the request.
    """
    stamp = Stamp(f"chatcmpl-{turn + 1}", 1_760_000_000, "")
    completion = reply.completion(body, stamp)
    # Optional, and in the way of people who read a counterexample.
    del completion["system_fingerprint"]
    if body.get("service_tier") is None:
        del completion["service_tier"]
    return completion
